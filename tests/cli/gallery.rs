//! `portcullis gallery` and `portcullis token`, end to end, with templates made here; and the
//! mistakes that a person makes.

use std::{fmt::Write as _, fs, path::PathBuf};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use portcullis::{gallery::FileMedia, model::Calibration};
use serde_json::Value;

use super::{Home, shown};

fn id(number: u32) -> String {
    format!("{number:032x}")
}

/// One line of a templates file: a person of its own for each number.
fn line(number: u32, more: &str) -> String {
    let kind = Calibration::sface_128().kind();
    let mut values = [0_u8; 128];
    values[number as usize % 128] = 100;
    values[(number as usize * 7 + 1) % 128] = (number % 90) as u8;
    let (values, id) = (STANDARD.encode(values), id(number));
    let (model, calibration) = (kind.model, kind.calibration);
    format!(
        "{{\"subject\":\"{id}\",\"template\":{{\"values\":\"{values}\",\"model\":\"{model}\",\
         \"calibration\":\"{calibration}\"}}{more}}}\n"
    )
}

fn templates(home: &Home, count: u32) -> PathBuf {
    let mut text = String::new();
    for number in 1..=count {
        let group = if number % 2 == 0 { ",\"group\":7" } else { "" };
        text.push_str(&line(number, group));
    }
    home.write("templates.jsonl", text)
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| panic!("not JSON: {text}"))
}

fn stats(home: &Home) -> Value {
    json(home.run(&["gallery", "stats", "staff", "--json"]).ends(0))
}

fn audit(home: &Home) -> Vec<Value> {
    let path = home.path(".local/state/portcullis/audit.jsonl");
    let text = fs::read_to_string(path).expect("an audit");
    text.lines().map(json).collect()
}

/// What the audit says last about work on a gallery's file: an order, and how it ended.
fn last_act(home: &Home) -> (String, String) {
    let mut acts = audit(home);
    acts.retain(|entry| {
        entry["reasons"][0].as_str().is_some_and(|reason| reason.starts_with("OFFLINE"))
    });
    let [.., ordered, ended] = &acts[..] else { panic!("an order and its end: {acts:?}") };
    assert_eq!(ordered["transaction"], ended["transaction"], "two halves of one act");
    assert_eq!(ordered["reasons"][0], "OFFLINE_ORDERED");
    (ended["action"].to_string(), ended["reasons"].to_string())
}

/// Like [`last_act`], of an act that failed after it was ordered.
fn was_not_done(home: &Home, action: &str) {
    let (named, reasons) = last_act(home);
    assert!(named.to_lowercase().contains(action), "{named}");
    assert_eq!(reasons, "[\"OFFLINE_NOT_DONE\"]");
}

/// A gallery `staff` of ten subjects, evens in group 7.
fn filled() -> Home {
    let home = Home::new();
    let file = templates(&home, 10);
    let made = home.run(&["gallery", "create", "staff"]);
    assert!(made.ends(0).contains("staff.gallery"), "{}", made.out);
    assert!(made.out.contains("what it leaves: "), "{}", made.out);
    let ran = home.run(&["gallery", "enrol", "staff", "--templates", shown(&file)]);
    assert!(ran.ends(0).contains("10 subjects with 10 references"), "{}", ran.out);
    home
}

#[test]
fn a_life_from_creation_to_erasure() {
    let home = filled();
    let held = stats(&home);
    assert_eq!((&held["subjects"], &held["rows"]), (&10.into(), &10.into()), "{held:#}");
    assert_eq!(
        (&held["residency"], &held["custodian"]["name"]),
        (&"sealed".into(), &"file".into())
    );
    for key in ["bytes", "overheadBytes", "epoch", "generation", "vacant"] {
        assert!(held[key].is_u64(), "{key}: {held:#}");
    }
    home.run(&["gallery", "open", "staff"]).ends(0);
    let mended = home.run(&["gallery", "mend", "staff"]);
    assert!(mended.ends(0).contains("nothing was erased"), "{}", mended.out);
    // Nobody was enrolled before today, and without `notBefore` that is what counts.
    let older = home.run(&["gallery", "erase", "staff", "--before", "1700000000"]);
    assert!(older.ends(0).contains("nobody is meant"), "{}", older.out);
    let verified = home.run(&["gallery", "verify", "staff"]);
    assert!(verified.ends(0).contains("10 rows: 0 faults"), "{}", verified.out);

    let (one, two) = (id(1), id(2));
    home.run(&["gallery", "restrict", "staff", &one]).ends(0);
    home.run(&["gallery", "restrict", "staff", &one, "--lift"]).ends(0);
    home.run(&["gallery", "regroup", "staff", &one, "--group", "7"]).ends(0);
    let erased = home.run(&["gallery", "erase", "staff", &two, "--json"]);
    let receipt = json(erased.ends(0))["erased"][0].clone();
    assert_eq!((&receipt["rows"], &receipt["subjects"][0]), (&1.into(), &two.as_str().into()));
    assert_eq!(receipt["epochDestroyed"], held["epoch"]);
    let group = home.run(&["gallery", "erase", "staff", "--group", "7"]);
    assert!(group.ends(0).contains("erased 5 references"), "{}", group.out);
    let again = home.run(&["gallery", "erase", "staff", "--group", "7"]);
    assert!(again.ends(0).contains("nobody is meant"), "{}", again.out);
    assert_eq!(stats(&home)["subjects"], 4);

    let list = home.write("gone.txt", format!("# left the company\n{}\n\n{}\n", id(3), id(5)));
    home.run(&["gallery", "erase", "staff", "--from", shown(&list)]).ends(0);
    assert_eq!(stats(&home)["subjects"], 2);
    home.run(&["gallery", "compact", "staff"]).ends(0);
    assert_eq!(stats(&home)["vacant"], 0);
    let epoch = stats(&home)["epoch"].as_u64().expect("a number");
    home.run(&["gallery", "rotate", "staff"]).ends(0);
    home.run(&["gallery", "rekey", "staff"]).ends(0);
    assert!(stats(&home)["epoch"].as_u64().expect("a number") >= epoch + 2);
    home.run(&["gallery", "erase", "staff", "--everybody"]).ends(0);
    assert_eq!(stats(&home)["subjects"], 0);

    let deleted = home.run(&["gallery", "delete", "staff"]);
    assert!(deleted.ends(0).contains("every key"), "{}", deleted.out);
    home.run(&["gallery", "stats", "staff"]).fails_with(&["does not exist"]);
    home.run(&["gallery", "create", "staff"]).ends(0); // nothing of it is in the way

    let entries = audit(&home);
    let evidence: Vec<&Value> =
        entries.iter().filter(|entry| entry["erasure"].is_object()).collect();
    assert!(evidence.len() >= 5, "{entries:#?}");
    for entry in &evidence {
        assert_eq!(entry["gallery"], "staff");
        assert_eq!(entry["erasure"]["custodian"], "file");
    }
    let by_group = entries.iter().find(|entry| entry["selection"]["group"] == 7);
    assert_eq!(by_group.expect("the order")["reasons"][0], "OFFLINE_ORDERED");
}

#[test]
fn a_sites_galleries_are_changed_in_its_appliance_alone() {
    let home = filled();
    let (file, one) = (home.path("templates.jsonl"), id(1));
    let (out, key) = (home.path("staff.age"), home.write("age.key", "AGE-SECRET-KEY-1"));
    let at_site = |arguments: &[&str]| {
        let mut command = home.command(arguments);
        command.env("PORTCULLIS_SITE_PROFILE", "residence");
        command.env("PORTCULLIS_SERVER_TOKENS", "tokens");
        super::Ran::of(command.output().expect("it starts"))
    };
    let barred: [(&[&str], &str); 8] = [
        (&["gallery", "create", "crew"], "POST /v1/galleries"),
        (&["gallery", "enrol", "staff", "--templates", shown(&file)], "/subjects"),
        (&["gallery", "enrol", "staff", "--images", "faces"], "/subjects"),
        (&["gallery", "erase", "staff", &one], "DELETE /v1/galleries/{gallery}/subjects/"),
        (&["gallery", "restrict", "staff", &one], "/restriction"),
        (&["gallery", "regroup", "staff", &one, "--group", "7"], "/group"),
        (&["gallery", "delete", "staff"], "DELETE /v1/galleries/{gallery}"),
        (&["gallery", "export", "staff", "--to", "age1", "--out", shown(&out)], "two persons"),
    ];
    for (arguments, instead) in barred {
        at_site(arguments).fails_with(&["site.profile is set", "nothing was done", instead]);
    }
    let import = ["gallery", "import", "crew", "--from", shown(&file), "--identity", shown(&key)];
    at_site(&import).fails_with(&["site.profile is set", "enrolled here"]);
    let refused = audit(&home);
    let refused = refused.iter().filter(|entry| entry["reasons"][0] == "OFFLINE_REFUSED");
    assert_eq!(refused.count(), 9, "each is in the audit");
    let crew = home.path(".local/state/portcullis/galleries/crew.gallery");
    assert!(!out.exists() && !crew.exists());
    assert_eq!(stats(&home)["subjects"], 10);
    // Keys, and looking, are still at hand.
    at_site(&["gallery", "verify", "staff"]).ends(0);
    at_site(&["gallery", "rotate", "staff"]).ends(0);
}

#[test]
fn mistakes_are_told_with_what_to_do_next() {
    let home = filled();
    home.run(&["gallery", "create", "staff"]).fails_with(&["staff.gallery", "exists already"]);
    was_not_done(&home, "create");
    home.run(&["gallery", "stats", "crew"])
        .fails_with(&["crew.gallery", "create the gallery first"]);
    home.run(&["gallery", "stats", "No!"]).fails_with(&["No!", "a-z, 0-9"]);
    home.run(&["gallery", "erase", "staff"]).fails_with(&["Usage"]);
    home.run(&["gallery", "erase", "staff", "--group", "7", "--everybody"]).fails_with(&["cannot"]);
    home.run(&["gallery", "erase", "staff", "--group", "0"]).fails_with(&["group 0 is no group"]);
    home.run(&["gallery", "erase", "staff", "anna"]).fails_with(&["32 hexadecimal digits"]);
    home.run(&["gallery", "erase", "staff", &id(99)]).fails_with(&["1 of 1", "not enrolled"]);
    let list = home.write("list.txt", format!("{}\nanna\n", id(1)));
    let ran = home.run(&["gallery", "erase", "staff", "--from", shown(&list)]);
    ran.fails_with(&["list.txt:2", "nothing was erased"]);
    home.run(&["gallery", "restrict", "staff", &id(99)]).fails_with(&["not enrolled"]);
    assert_eq!(stats(&home)["subjects"], 10);

    let mut memory = home.command(&["gallery", "stats", "staff"]);
    let ran = memory.env("PORTCULLIS_GALLERY_CUSTODIAN", "memory").output().expect("it starts");
    super::Ran::of(ran).fails_with(&["keys end with the process", "file or pkcs11"]);
    let mut full = home.command(&["gallery", "erase", "staff", "--everybody"]);
    full.env("PORTCULLIS_AUDIT_PATH", "/dev/full");
    let ran = super::Ran::of(full.output().expect("it starts"));
    ran.fails_with(&["/dev/full", "audit.path"]);
    assert_eq!(stats(&home)["subjects"], 10, "nothing was done");
}

#[test]
fn a_gallery_in_use_names_its_holder() {
    let home = filled();
    let path = home.path(".local/state/portcullis/galleries/staff.gallery");
    let held = FileMedia::open(&path).expect("free");
    let pid = format!("pid {}", std::process::id());
    home.run(&["gallery", "stats", "staff"]).fails_with(&["in use by", &pid, "stop"]);
    drop(held);
    home.run(&["gallery", "stats", shown(&path)]).ends(0);
}

#[test]
fn templates_that_are_none_are_told_with_their_line() {
    let home = filled();
    let enrol = |text: String| {
        let file = home.write("wrong.jsonl", text);
        home.run(&["gallery", "enrol", "staff", "--templates", shown(&file)])
    };
    enrol(String::new()).fails_with(&["wrong.jsonl", "no template"]);
    enrol(format!("{}{{\"name\":1}}\n", line(11, ""))).fails_with(&["wrong.jsonl:2"]);
    enrol(line(11, ",\"classes\":[64]")).fails_with(&["wrong.jsonl:1", "class 64"]);
    enrol(line(11, ",\"classes\":[]")).fails_with(&["at least one bit"]);
    enrol(line(11, ",\"notBefore\":5,\"expiry\":5")).fails_with(&["valid from second 5"]);
    let foreign = line(11, "").replace("\"model\":\"", "\"model\":\"0");
    enrol(foreign).fails_with(&["wrong.jsonl:1", "64 hexadecimal digits"]);
    enrol("x".repeat(10_000)).fails_with(&["wrong.jsonl:1", "longer than"]);
    let mut five = String::new();
    for _ in 0..5 {
        write!(five, "{}", line(12, "")).expect("writing to a string");
    }
    enrol(five).fails_with(&["at most 4"]);
    assert_eq!(stats(&home)["subjects"], 10);
    home.run(&["gallery", "enrol", "staff", "--templates", "absent"]).fails_with(&["absent"]);
}

/// A second run of the whole file would give everybody of the first batch a second reference.
#[test]
fn an_enrolment_that_stopped_goes_on_where_it_stopped() {
    let home = filled();
    let mut text = String::new();
    for number in 101..=8_400 {
        text.push_str(&line(number, ""));
    }
    let wrong = home.write("many.jsonl", format!("{text}{{}}\n"));
    let enrol = ["gallery", "enrol", "staff", "--templates", shown(&wrong)];
    home.run(&enrol).fails_with(&["many.jsonl:8301", "8192 subjects", "--from-line 8193"]);
    assert_eq!(stats(&home)["subjects"], 8_202);
    was_not_done(&home, "enrol"); // not to its end
    home.write("many.jsonl", text);
    let ran = home.run(&[&enrol[..], &["--from-line", "8193"]].concat());
    assert!(ran.ends(0).contains("108 subjects with 108 references"), "{}", ran.out);
    let held = stats(&home);
    assert_eq!((&held["subjects"], &held["rows"]), (&8_310.into(), &8_310.into()));
}

#[test]
fn damage_rollback_and_missing_keys_are_named() {
    let home = filled();
    let path = home.path(".local/state/portcullis/galleries/staff.gallery");
    let old = fs::read(&path).expect("a file");
    home.run(&["gallery", "erase", "staff", &id(1)]).ends(0);
    let new = fs::read(&path).expect("a file");
    fs::write(&path, &old).expect("put back");
    let ran = home.run(&["gallery", "stats", "staff"]);
    assert_eq!(ran.code, 2, "an older copy was opened: {}", ran.out);
    // The tail of the newest tile, wherever it lies.
    let mut torn = new.clone();
    for byte in torn.iter_mut().skip(8192) {
        *byte ^= 1;
    }
    fs::write(&path, &torn).expect("damaged");
    let ran = home.run(&["gallery", "verify", "staff"]);
    assert_eq!(ran.code, 2, "{}", ran.out);
    fs::write(&path, &new).expect("mended");
    home.run(&["gallery", "verify", "staff"]).ends(0);
    let keys = home.path(".local/state/portcullis/keys");
    fs::rename(&keys, home.path("elsewhere")).expect("moved");
    home.run(&["gallery", "stats", "staff"]).fails_with(&["staff.gallery", "custodian"]);
}

#[test]
fn a_gallery_moves_to_another_appliance() {
    let home = filled();
    let there = Home::new();
    let identity = age::x25519::Identity::generate();
    let secret = age::secrecy::ExposeSecret::expose_secret(&identity.to_string()).to_owned();
    let key = there.write("new.key", format!("# a key\n{secret}\n"));
    let out = home.path("staff.age");
    let to = identity.to_public().to_string();
    let export = ["gallery", "export", "staff", "--to", &to, "--out", shown(&out)];
    assert!(home.run(&export).ends(0).contains("10 references"));
    home.run(&export).fails_with(&["staff.age", "cannot be written"]);
    let part = there.path("x");
    let nobody = ["gallery", "export", "staff", "--to", "anna", "--out", shown(&part)];
    home.run(&nobody).fails_with(&["age1"]);
    assert!(!part.exists(), "a part of an export stayed behind");
    was_not_done(&home, "export");
    let import = |key: &PathBuf, name: &str| {
        let from = shown(&out).to_owned();
        there.run(&["gallery", "import", name, "--from", &from, "--identity", shown(key)])
    };
    assert!(import(&key, "staff").ends(0).contains("10 references"));
    assert_eq!(stats(&there)["subjects"], 10);
    there.run(&["gallery", "verify", "staff"]).ends(0);
    import(&key, "staff").fails_with(&["exists already"]);
    was_not_done(&there, "create");
    let other = age::x25519::Identity::generate().to_string();
    let other = age::secrecy::ExposeSecret::expose_secret(&other).to_owned();
    let wrong = there.write("wrong.key", other);
    assert_eq!(import(&wrong, "crew").code, 2);
    was_not_done(&there, "create");
    there.run(&["gallery", "stats", "crew"]).fails_with(&["does not exist"]);
}

#[test]
fn keys_of_holder_tokens_are_made_once_and_told_apart() {
    let home = Home::new();
    let (issuer, reader) = (home.path("issuer.key"), home.path("reader.key"));
    let keygen = ["token", "keygen", "--issuer", shown(&issuer), "--reader", shown(&reader)];
    assert!(home.run(&keygen).ends(0).contains("holder.reader_keys"));
    home.run(&keygen).fails_with(&["issuer.key"]);
    let inspect = |file: &PathBuf| home.run(&["token", "inspect", shown(file)]).ends(0).to_owned();
    assert!(inspect(&issuer).contains("signs"));
    assert!(inspect(&reader).contains("issues none"));
    let text = home.write("text", "hello");
    home.run(&["token", "inspect", shown(&text)]).fails_with(&["text"]);
}
