//! What is asked, and how often of each.

use std::str::FromStr;

/// What one arrival asks of the appliance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum What {
    /// A photograph against a photograph.
    Verify,
    /// A photograph against a gallery.
    Identify,
    /// A traveller at a lane, until the gate decides.
    Transaction,
    /// Somebody new in a gallery.
    Enrol,
    /// Somebody erased from it.
    Erase,
}

impl What {
    /// All of them.
    pub(crate) const ALL: [Self; 5] =
        [Self::Verify, Self::Identify, Self::Transaction, Self::Enrol, Self::Erase];

    /// As it is written.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Verify => "verify",
            Self::Identify => "identify",
            Self::Transaction => "transaction",
            Self::Enrol => "enrol",
            Self::Erase => "erase",
        }
    }

    /// Whether it needs a gallery.
    pub(crate) fn needs_gallery(self) -> bool {
        matches!(self, Self::Identify | Self::Enrol | Self::Erase)
    }
}

/// Shares of each, which add up to more than nothing.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Mix([f64; What::ALL.len()]);

impl Mix {
    /// One thing alone.
    pub(crate) fn only(what: What) -> Self {
        Self(What::ALL.map(|one| f64::from(u8::from(one == what))))
    }

    /// What a draw from 0 to 1 falls on.
    pub(crate) fn pick(&self, unit: f64) -> What {
        let mut left = unit * self.0.iter().sum::<f64>();
        for (what, share) in What::ALL.into_iter().zip(self.0) {
            if left < share {
                return what;
            }
            left -= share;
        }
        // Rounding left a crumb: the last that has a share.
        let mut held = What::ALL.into_iter().zip(self.0).filter(|(_, share)| *share > 0.0);
        held.next_back().map_or(What::Verify, |(what, _)| what)
    }

    /// Whether it asks for `what` at all.
    pub(crate) fn has(&self, what: What) -> bool {
        self.0[what as usize] > 0.0
    }

    /// Whether it needs a gallery.
    pub(crate) fn needs_gallery(&self) -> bool {
        What::ALL.into_iter().any(|what| what.needs_gallery() && self.has(what))
    }
}

impl FromStr for Mix {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut mix = Self([0.0; What::ALL.len()]);
        for part in text.split(',') {
            let (name, share) = part.split_once('=').unwrap_or((part, "1"));
            let what = What::ALL.into_iter().find(|what| what.name() == name.trim());
            let share = share.trim().parse::<f64>().ok().filter(|share| share.is_finite());
            match (what, share.filter(|share| *share >= 0.0)) {
                (Some(what), Some(share)) => mix.0[what as usize] = share,
                _ => {
                    let names = What::ALL.map(What::name).join(", ");
                    return Err(format!("{part}: not NAME=SHARE with a NAME of {names}"));
                }
            }
        }
        if mix.0.iter().sum::<f64>() > 0.0 { Ok(mix) } else { Err("no share is left".to_owned()) }
    }
}

impl std::fmt::Display for Mix {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let held = What::ALL.into_iter().zip(self.0).filter(|(_, share)| *share > 0.0);
        let parts: Vec<String> =
            held.map(|(what, share)| format!("{}={share}", what.name())).collect();
        f.write_str(&parts.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_kept() {
        let mix: Mix = "verify=80, identify=15,erase=5".parse().expect("a mix");
        let picked: Vec<What> = (0..1_000).map(|at| mix.pick(f64::from(at) / 1_000.0)).collect();
        let count = |what| picked.iter().filter(|one| **one == what).count();
        assert_eq!(
            (count(What::Verify), count(What::Identify), count(What::Erase), count(What::Enrol)),
            (800, 150, 50, 0)
        );
        assert_eq!(mix.pick(1.0), What::Erase);
        assert!(mix.needs_gallery() && !Mix::only(What::Verify).needs_gallery());
        assert_eq!(mix.to_string().parse::<Mix>(), Ok(mix));
    }

    #[test]
    fn what_is_no_mix_is_refused() {
        for wrong in ["", "guess=1", "verify=-1", "verify=x", "verify=0", "verify=inf"] {
            assert!(wrong.parse::<Mix>().is_err(), "{wrong}");
        }
    }
}
