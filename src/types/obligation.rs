//! Duties that follow from the law.

/// Names an obligation as the policy texts do (`@obligation("erase-on-match")`).
macro_rules! obligations {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal,)+) => {
        /// A duty that follows from the law. The policy's texts say when it is owed, and
        /// `policies/duties.toml` what carries it out.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum Obligation {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl Obligation {
            /// Every obligation there is.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// Its name in the policy's texts, in the audit and in answers.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }
        }
    };
}

obligations! {
    /// Zero the frame, crop and probe template before the reply leaves.
    EraseProbe = "erase-probe",
    /// Write the audit entry before the reply leaves.
    RecordDecision = "record-decision",
    /// Tell an officer where the traveller stands.
    NotifyOfficer = "notify-officer",
    /// Do not admit without a passed presentation attack detection.
    TestForAttacks = "test-for-attacks",
    /// Do not admit against a document that was not found to be genuine.
    AuthenticateDocument = "authenticate-document",
    /// Do not admit a third-country national without a match against a second reference.
    CompareSecondReference = "compare-second-reference",
    /// Do not admit without the card that selects the reference.
    RequireCard = "require-card",
    /// Keep nothing of this act once it is answered.
    StoreNothing = "store-nothing",
    /// Erase template and image of whoever matched before the gate is told.
    EraseOnMatch = "erase-on-match",
    /// Keep nothing of whoever was compared and not found.
    DiscardUnmatched = "discard-unmatched",
    /// Erase at the end of the day, by destroying the key.
    EraseAtClosing = "erase-at-closing",
    /// Erase at take-off, or after 48 hours, whichever comes first.
    EraseAtDeparture = "erase-at-departure",
    /// Let the record end with the passport, or a year after it was made, whichever comes first.
    ExpireWithHolder = "expire-with-holder",
    /// A hit stays pending until two different trained persons confirmed it separately.
    ConfirmByTwo = "confirm-by-two",
    /// Keep a protected reference to the input of a match, and of nothing else.
    KeepMatchedInput = "keep-matched-input",
    /// Record start and end, reference database, matched input and verifying persons.
    LogUse = "log-use",
    /// No refusal by machine alone: whoever does not match meets a person.
    PersonDecides = "person-decides",
    /// Between the thresholds the guest has the benefit of the doubt.
    DoubtFavoursGuest = "doubt-favours-guest",
    /// Answer the public in neutral words, without score, name or alarm.
    AnswerNeutrally = "answer-neutrally",
    /// Keep the other way in open, with the same rights.
    KeepAlternativeOpen = "keep-alternative-open",
    /// Hand out the notice with contact and authority.
    GiveNotice = "give-notice",
    /// Send an entry event of time, place and decision, without an image.
    SendEntryEvent = "send-entry-event",
    /// Keep the proof of a consent that is over, and nothing else of it.
    KeepConsentProof = "keep-consent-proof",
    /// Hand over a certificate of what was erased.
    CertifyErasure = "certify-erasure",
    /// Tell whoever received the data that they are erased or corrected.
    NotifyRecipients = "notify-recipients",
    /// Write each step (capture, template, match) into the record of processing as its own purpose.
    RecordEachStep = "record-each-step",
    /// Keep a minor's record for the shortest time, and flag it in the audit.
    ProtectMinor = "protect-minor",
    /// Record that an exemption was used, with its ground and authority.
    RecordExemption = "record-exemption",
    /// Raise that the filing with the authority is due.
    FileWithAuthority = "file-with-authority",
    /// Alert whoever watches over security.
    RaiseAlert = "raise-alert",
}

const _: () = assert!(Obligation::ALL.len() <= u64::BITS as usize, "a set of them is one word");

/// A set of obligations, in place.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Obligations(u64);

impl Obligations {
    /// None.
    pub const NONE: Self = Self(0);

    /// Adds one.
    pub const fn push(&mut self, obligation: Obligation) {
        self.0 |= 1 << obligation as u8;
    }

    /// Whether it is owed.
    #[must_use]
    pub const fn contains(&self, obligation: &Obligation) -> bool {
        self.0 & (1 << *obligation as u8) != 0
    }

    /// What either owes.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Each one owed, in the order of their declaration.
    pub fn iter(&self) -> impl Iterator<Item = Obligation> + use<> {
        let held = *self;
        Obligation::ALL.iter().copied().filter(move |one| held.contains(one))
    }
}

impl FromIterator<Obligation> for Obligations {
    fn from_iter<I: IntoIterator<Item = Obligation>>(owed: I) -> Self {
        let mut set = Self::NONE;
        owed.into_iter().for_each(|obligation| set.push(obligation));
        set
    }
}

impl std::fmt::Debug for Obligations {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_holds_what_was_put_in_and_names_are_unique() {
        for (at, &one) in Obligation::ALL.iter().enumerate() {
            let set: Obligations = [one].into_iter().collect();
            assert_eq!(set.iter().collect::<Vec<_>>(), [one]);
            let twins = Obligation::ALL.iter().filter(|other| other.name() == one.name());
            assert_eq!(twins.count(), 1, "{at}: {}", one.name());
        }
    }
}
