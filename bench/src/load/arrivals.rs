//! When travellers come: the open loop. Every arrival has its time before the first request is
//! sent, and keeps it whatever the appliance does; what is late is late from that time on.
//!
//! A plan is drawn from a seed and can be drawn again.

use std::{fs, path::Path, str::FromStr};

use super::{
    dice::Dice,
    mix::{Mix, What},
};

/// Most arrivals of one plan.
const ARRIVALS_MAX: usize = 20_000_000;
const US_PER_S: f64 = 1e6;

/// How arrivals are spread.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Pattern {
    /// Evenly, lane after lane: gates whose cameras have a fixed rate.
    Constant,
    /// By chance, independently of each other.
    Poisson,
    /// A rate for some seconds, then another.
    Step(Vec<(f64, f64)>),
    /// Evenly, and `size` more at once every so many seconds.
    Burst { every_s: f64, size: usize },
    /// Flights that land: each sends its passengers to the gates, spread over some time.
    Flights(Vec<Flight>),
}

/// One flight of a schedule.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Flight {
    /// Its name; shown, never sent.
    pub(crate) name: String,
    /// When the first of its passengers may be at a gate, in seconds from the start.
    pub(crate) at_s: f64,
    /// How many of them use the gates.
    pub(crate) passengers: usize,
    /// Time between the first and the last, in seconds.
    pub(crate) spread_s: f64,
}

/// One traveller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Arrival {
    /// Intended start, in microseconds from the start of the plan.
    pub(crate) due_us: u64,
    /// What is asked.
    pub(crate) what: What,
    /// At which simulated lane.
    pub(crate) lane: u16,
}

/// Every arrival of one run.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// In order of their times.
    pub(crate) arrivals: Vec<Arrival>,
    /// Arrivals before it warm up and are not counted.
    pub(crate) warm_up_us: u64,
    /// When the plan is over.
    pub(crate) length_us: u64,
}

/// What a plan is drawn from.
#[derive(Debug, Clone)]
pub(crate) struct Order<'a> {
    pub(crate) pattern: &'a Pattern,
    /// Travellers per second; of no meaning where the pattern has rates of its own.
    pub(crate) rate: f64,
    pub(crate) seconds: f64,
    pub(crate) warm_up_s: f64,
    pub(crate) lanes: u16,
    pub(crate) mix: &'a Mix,
    pub(crate) seed: u64,
}

impl Plan {
    /// Draws the plan.
    ///
    /// # Errors
    /// When it would have no arrival, or more than can be kept.
    pub(crate) fn draw(order: &Order<'_>) -> Result<Self, String> {
        let dice = Dice::new(order.seed);
        let all_s = order.warm_up_s + order.seconds;
        let times_s = times(order, all_s, &dice)?;
        if times_s.is_empty() {
            return Err("nobody arrives: give a rate, or a schedule with passengers".to_owned());
        }
        let lanes = order.lanes.max(1);
        let arrivals = times_s.iter().zip(0_usize..).map(|(&at_s, number)| Arrival {
            due_us: (at_s * US_PER_S) as u64,
            what: order.mix.pick(dice.unit()),
            lane: u16::try_from(number % usize::from(lanes)).unwrap_or(0),
        });
        Ok(Self {
            arrivals: arrivals.collect(),
            warm_up_us: (order.warm_up_s * US_PER_S) as u64,
            length_us: (all_s * US_PER_S) as u64,
        })
    }

    /// Counted arrivals.
    pub(crate) fn counted(&self) -> usize {
        self.arrivals.iter().filter(|arrival| arrival.due_us >= self.warm_up_us).count()
    }

    /// Counted arrivals per second.
    pub(crate) fn rate(&self) -> f64 {
        self.counted() as f64 / ((self.length_us - self.warm_up_us) as f64 / US_PER_S)
    }
}

/// Every time of arrival, in order, in seconds.
fn times(order: &Order<'_>, all_s: f64, dice: &Dice) -> Result<Vec<f64>, String> {
    let mut times = match order.pattern {
        Pattern::Constant => even(order.rate, 0.0, all_s)?,
        Pattern::Poisson => by_chance(order.rate, all_s, dice)?,
        Pattern::Step(steps) => stepped(steps, all_s)?,
        Pattern::Burst { every_s, size } => {
            let mut times = even(order.rate, 0.0, all_s)?;
            let bursts = (all_s / every_s) as usize;
            room(times.len().saturating_add(bursts.saturating_mul(*size)) as f64)?;
            for burst in 1..=bursts {
                let at_s = burst as f64 * every_s;
                times.extend(std::iter::repeat_n(at_s, if at_s < all_s { *size } else { 0 }));
            }
            times
        }
        Pattern::Flights(flights) => landed(flights, order.warm_up_s, all_s, dice)?,
    };
    times.sort_by(f64::total_cmp);
    Ok(times)
}

fn room(arrivals: f64) -> Result<(), String> {
    if arrivals > ARRIVALS_MAX as f64 {
        return Err(format!("{arrivals:.0} arrivals; at most {ARRIVALS_MAX}: a shorter run"));
    }
    Ok(())
}

fn even(rate: f64, from_s: f64, to_s: f64) -> Result<Vec<f64>, String> {
    room(rate * (to_s - from_s))?;
    let count = ((to_s - from_s) * rate).floor().max(0.0) as usize;
    Ok((0..count).map(|number| from_s + number as f64 / rate).collect())
}

fn by_chance(rate: f64, all_s: f64, dice: &Dice) -> Result<Vec<f64>, String> {
    room(rate * all_s * 1.2)?;
    let mut times = Vec::new();
    let mut at_s = dice.gap(rate);
    while at_s < all_s {
        times.push(at_s);
        at_s += dice.gap(rate);
    }
    Ok(times)
}

/// The steps one after the other, from the beginning again until the time is over.
fn stepped(steps: &[(f64, f64)], all_s: f64) -> Result<Vec<f64>, String> {
    let (mut times, mut from_s) = (Vec::new(), 0.0);
    for &(rate, seconds) in steps.iter().cycle() {
        if from_s >= all_s {
            break;
        }
        let to_s = (from_s + seconds).min(all_s);
        times.extend(even(rate, from_s, to_s)?);
        room(times.len() as f64)?;
        from_s += seconds;
    }
    Ok(times)
}

/// Passengers of a flight come in a hump: few run, few stroll. The mean of two draws has that
/// shape.
fn landed(flights: &[Flight], warm_up_s: f64, all_s: f64, dice: &Dice) -> Result<Vec<f64>, String> {
    room(flights.iter().map(|flight| flight.passengers as f64).sum())?;
    let mut times = Vec::new();
    for flight in flights {
        for _ in 0..flight.passengers {
            let share = f64::midpoint(dice.unit(), dice.unit());
            times.push(warm_up_s + flight.at_s + share * flight.spread_s);
        }
    }
    times.retain(|&at_s| at_s < all_s);
    Ok(times)
}

/// A schedule file: `flight,at,passengers,spread_s`, one flight a line; `at` is seconds from the
/// start, or a time of day (`14:35`), which counts from the earliest of the file. `time_scale`
/// packs a day into less.
///
/// # Errors
/// Naming the line that is not one.
pub(crate) fn flights(path: &Path, time_scale: f64) -> Result<Vec<Flight>, String> {
    let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    parse_flights(&text, time_scale).map_err(|why| format!("{}: {why}", path.display()))
}

fn parse_flights(text: &str, time_scale: f64) -> Result<Vec<Flight>, String> {
    let lines = (1..).zip(text.lines()).filter(|(number, line)| {
        let line = line.trim();
        !(line.is_empty() || line.starts_with('#') || *number == 1 && line.starts_with("flight,"))
    });
    let mut flights = Vec::new();
    for (number, line) in lines {
        let cells: Vec<&str> = line.split(',').map(str::trim).collect();
        let [name, at, passengers, spread] = cells.as_slice() else {
            return Err(format!("line {number}: not `flight,at,passengers,spread_s`: {line}"));
        };
        let refuse = |what: &str| format!("line {number}: {what} is not one: {line}");
        flights.push(Flight {
            name: (*name).to_owned(),
            at_s: moment_s(at).ok_or_else(|| refuse("the time"))?,
            passengers: passengers.parse().map_err(|_| refuse("the number of passengers"))?,
            spread_s: positive(spread).ok_or_else(|| refuse("the spread"))?,
        });
    }
    let first = flights.iter().map(|flight| flight.at_s).fold(f64::INFINITY, f64::min);
    for flight in &mut flights {
        flight.at_s = (flight.at_s - first) / time_scale;
        flight.spread_s /= time_scale;
    }
    Ok(flights)
}

/// Seconds, or a time of day.
fn moment_s(text: &str) -> Option<f64> {
    let Some((hour, minute)) = text.split_once(':') else { return positive(text) };
    let (hour, minute): (u32, u32) = (hour.parse().ok()?, minute.parse().ok()?);
    (hour < 24 && minute < 60).then(|| f64::from(hour * 3_600 + minute * 60))
}

fn positive(text: &str) -> Option<f64> {
    text.parse().ok().filter(|value: &f64| value.is_finite() && *value >= 0.0)
}

/// `RATE:SECONDS,RATE:SECONDS,…`
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Steps(pub(crate) Vec<(f64, f64)>);

impl FromStr for Steps {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let step = |part: &str| {
            let (rate, seconds) = part.split_once(':')?;
            let (rate, seconds) = (positive(rate)?, positive(seconds)?);
            (seconds > 0.0).then_some((rate, seconds))
        };
        let steps: Option<Vec<_>> = text.split(',').map(step).collect();
        steps.map(Self).ok_or_else(|| format!("{text} is not RATE:SECONDS,RATE:SECONDS,…"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(pattern: &Pattern, rate: f64, seconds: f64, seed: u64) -> Plan {
        let mix = Mix::only(What::Verify);
        let order = Order { pattern, rate, seconds, warm_up_s: 1.0, lanes: 3, mix: &mix, seed };
        Plan::draw(&order).expect("a plan")
    }

    fn seconds(plan: &Plan) -> Vec<f64> {
        plan.arrivals.iter().map(|arrival| arrival.due_us as f64 / US_PER_S).collect()
    }

    #[test]
    fn even_arrivals_are_even_and_go_round_the_lanes() {
        let plan = plan(&Pattern::Constant, 10.0, 4.0, 1);
        assert_eq!((plan.arrivals.len(), plan.counted()), (50, 40));
        assert!((plan.rate() - 10.0).abs() < 1e-9);
        for (number, arrival) in plan.arrivals.iter().enumerate() {
            assert_eq!(usize::from(arrival.lane), number % 3);
            assert!(arrival.due_us.abs_diff(number as u64 * 100_000) <= 1, "{arrival:?}");
        }
    }

    #[test]
    fn chance_has_the_rate_and_the_spread_of_a_poisson_process_and_comes_again() {
        let first = plan(&Pattern::Poisson, 200.0, 99.0, 7);
        let times = seconds(&first);
        let gaps: Vec<f64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        let deviation =
            (gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64).sqrt();
        // 20,000 draws: three standard deviations are 2 % of the mean.
        assert!((mean * 200.0 - 1.0).abs() < 0.03, "mean gap {mean}");
        assert!((deviation / mean - 1.0).abs() < 0.05, "an exponential gap varies as its mean");
        assert_eq!(first.arrivals, plan(&Pattern::Poisson, 200.0, 99.0, 7).arrivals);
        assert_ne!(first.arrivals, plan(&Pattern::Poisson, 200.0, 99.0, 8).arrivals);
    }

    #[test]
    fn steps_repeat_and_bursts_come_at_once() {
        let steps: Steps = "10:2,30:1".parse().expect("steps");
        let times = seconds(&plan(&Pattern::Step(steps.0), 0.0, 5.0, 1));
        let within = |from: f64, to: f64| times.iter().filter(|t| **t >= from && **t < to).count();
        assert_eq!((within(0.0, 2.0), within(2.0, 3.0), within(3.0, 5.0)), (20, 30, 20));
        let burst = Pattern::Burst { every_s: 2.0, size: 25 };
        let times = seconds(&plan(&burst, 5.0, 5.0, 1));
        let at = |s: f64| times.iter().filter(|t| (**t - s).abs() < 1e-6).count();
        assert_eq!((at(2.0), at(4.0), times.len()), (26, 26, 30 + 50));
        for wrong in ["", "10", "10:0", "a:1", "-1:5"] {
            assert!(wrong.parse::<Steps>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn flights_send_their_passengers_within_their_spread() {
        let text =
            "flight,at,passengers,spread_s\n# a comment\nPC 1,06:10,180,900\n\nPC 2,06:40,60,600\n";
        let flights = parse_flights(text, 60.0).expect("a schedule");
        assert_eq!(flights.len(), 2);
        assert!((flights[1].at_s - 30.0).abs() < 1e-9 && (flights[0].spread_s - 15.0).abs() < 1e-9);
        let times = seconds(&plan(&Pattern::Flights(flights), 0.0, 60.0, 3));
        assert_eq!(times.len(), 240);
        let first = times.iter().filter(|t| **t <= 1.0 + 15.0).count();
        assert_eq!(first, 180, "the first flight's passengers come after the warm-up, in 15 s");
        let early = times.iter().filter(|t| **t <= 1.0 + 3.75).count();
        assert!(early < 180 / 4, "few run: {early} in the first quarter");
        for wrong in ["PC 1,25:00,1,1", "PC 1,0,-1,1", "PC 1,0,1", "PC 1,0,1,x"] {
            let why = parse_flights(wrong, 1.0).expect_err(wrong);
            assert!(why.contains("line 1"), "{why}");
        }
    }

    #[test]
    fn a_plan_that_cannot_be_kept_is_refused() {
        let mix = Mix::only(What::Verify);
        let order = |rate, pattern| Order {
            pattern,
            rate,
            seconds: 1e6,
            warm_up_s: 0.0,
            lanes: 1,
            mix: &mix,
            seed: 1,
        };
        assert!(Plan::draw(&order(1e6, &Pattern::Constant)).is_err());
        assert!(Plan::draw(&order(0.0, &Pattern::Constant)).is_err());
    }
}
