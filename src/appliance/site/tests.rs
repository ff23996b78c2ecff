//! The dated duties of a site, over days and a restart.

use super::*;
use crate::{
    keys::custodian::MemoryCustodian, meter::Meter, random::SystemEntropy, time::SimulatedClock,
};

fn residence(folder: &Path, filing: &str) -> Site {
    let entropy = Arc::new(SystemEntropy);
    let custodian = Arc::new(MemoryCustodian::new(entropy.clone()));
    let mut profile = Profile::shipped("residence").expect("it comes with the appliance");
    filing.clone_into(&mut profile.legal.filing);
    let place = SitePlace {
        profile,
        record: Some(folder.join("site.json")),
        register: Register::in_memory(custodian, entropy.clone()).expect("a register"),
        people: Vec::new(),
        webhook_ca: None,
    };
    let clock = Arc::new(SimulatedClock::at(0));
    let world = World { clock, entropy, meter: Arc::new(Meter::new()) };
    Site::open(place, &Calibration::sface_128(), 1e-4, &world).expect("a site")
}

#[test]
fn cac_1_a_filing_is_due_within_thirty_working_days_until_it_is_made() {
    let folder = tempfile::tempdir().expect("a folder");
    let site = residence(folder.path(), "");
    let (day_s, noon_s) = (24 * HOUR_S, date_s("2026-07-01").expect("a day") + 4 * HOUR_S);
    assert_eq!(site.describe(noon_s).duties, [], "not before so many are kept");
    site.owes_filing(noon_s).expect("kept");
    site.owes_filing(noon_s + 9 * day_s).expect("kept");
    drop(site);
    let site = residence(folder.path(), "");
    let due = |is_overdue| DatedDuty {
        code: "FILING_REQUIRED",
        since_s: noon_s,
        due: "2026-08-12".to_owned(),
        is_overdue,
    };
    let last_s = date_s("2026-08-12").expect("a day") + 4 * HOUR_S;
    assert_eq!(site.describe(last_s).duties, [due(false)], "from the first, after a restart");
    assert_eq!(site.describe(last_s + day_s).duties, [due(true)]);
    drop(site);
    let made = residence(folder.path(), "filing 12/2026");
    assert_eq!(made.describe(last_s + day_s).duties, []);
}
