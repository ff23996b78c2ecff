//! M/D/c: what a queue alone would do. Arrivals by chance, `c` servers that each take the same
//! time, first come, first served.
//!
//! An appliance under Poisson load cannot have the tail of an idle one: some travellers arrive
//! together. What the queue must cost follows from the arrivals and the service time, and the rest
//! is the appliance's own doing. So the same arrivals run through this queue, beside the
//! measurement.

use super::dice::Dice;

/// Arrivals of a long run: p99.9 then rests on a thousand of them.
const LONG_RUN: usize = 1_000_000;

/// A service: how long each of `servers` is taken, and how long an answer takes where nobody waits.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Service {
    pub(crate) servers: usize,
    /// Time that a server is taken for one traveller, in microseconds.
    pub(crate) occupied_us: f64,
    /// Latency of one traveller alone, in microseconds; what lies beside the server is part of it.
    pub(crate) alone_us: f64,
}

impl Service {
    /// Of a capacity in answers per second and a latency at rest.
    pub(crate) fn measured(servers: usize, capacity_per_s: f64, alone_us: f64) -> Self {
        Self { servers, occupied_us: servers as f64 * 1e6 / capacity_per_s, alone_us }
    }
}

/// Latencies of arrivals at these times, in microseconds, in their order.
pub(crate) fn latencies_us(arrivals_us: impl Iterator<Item = f64>, service: Service) -> Vec<f64> {
    let mut free_us = vec![0.0_f64; service.servers.max(1)];
    arrivals_us
        .map(|at_us| {
            // The server that is free first; few of them, so a look at each is the quickest.
            let next = (0..free_us.len()).min_by(|&a, &b| free_us[a].total_cmp(&free_us[b]));
            let free = &mut free_us[next.unwrap_or(0)];
            let begin_us = free.max(at_us);
            *free = begin_us + service.occupied_us;
            begin_us - at_us + service.alone_us
        })
        .collect()
}

/// Latencies of a long run at `rate` arrivals per second.
pub(crate) fn long_run_us(rate: f64, service: Service, seed: u64) -> Vec<f64> {
    let dice = Dice::new(seed);
    let mut at_us = 0.0;
    let arrivals = std::iter::repeat_with(|| {
        at_us += dice.gap(rate) * 1e6;
        at_us
    });
    latencies_us(arrivals.take(LONG_RUN), service)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_who_come_together_wait_in_turn() {
        let service = Service { servers: 2, occupied_us: 10.0, alone_us: 15.0 };
        let waited = latencies_us([0.0, 0.0, 0.0, 0.0, 100.0].into_iter(), service);
        assert_eq!(waited, [15.0, 15.0, 25.0, 25.0, 15.0]);
    }

    #[test]
    fn the_mean_wait_is_that_of_pollaczek_and_khinchine() {
        // M/D/1: rho / (2 (1 - rho)) of the service time.
        let service = Service::measured(1, 1_000.0, 1_000.0);
        for load in [0.5, 0.8] {
            let all = long_run_us(load * 1_000.0, service, 5);
            let wait_us = all.iter().sum::<f64>() / all.len() as f64 - 1_000.0;
            let expected = 1_000.0 * load / (2.0 * (1.0 - load));
            assert!((wait_us / expected - 1.0).abs() < 0.05, "{load}: {wait_us} of {expected}");
        }
    }

    #[test]
    fn two_servers_wait_less_than_one_of_twice_the_speed_serves() {
        let mean = |servers| {
            let service = Service::measured(servers, 1_000.0, 0.0);
            let all = long_run_us(800.0, service, 5);
            all.iter().sum::<f64>() / all.len() as f64
        };
        assert!(mean(2) < mean(1), "M/D/2 waits less at the same load");
    }
}
