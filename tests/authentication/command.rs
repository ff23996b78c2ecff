//! `portcullis document verify`, the built binary: exit code 0 for a valid document, 1 for one that
//! is not, 2 when the question cannot be asked.

use std::{
    fs,
    path::PathBuf,
    process::{Command, Stdio},
};

use serde_json::Value;

use crate::issuer::{self, DAY_S, NOW_S, State};

struct Files(tempfile::TempDir);

impl Files {
    fn of(state: &mut State) -> Self {
        let files = Self(tempfile::tempdir().expect("a folder"));
        files.write("dg1", &state.dg1);
        files.write("dg2", &state.dg2);
        files.write("sod", &state.write_sod());
        files.write("csca/root.cer", &state.write_csca());
        files.write("csca/root.crl", &state.write_list());
        files
    }

    fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.path().join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        fs::write(&path, bytes).expect("written");
        path
    }

    fn verify(&self, more: &[&str]) -> (i32, String, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
        command.env_clear().env("HOME", self.0.path()).current_dir(self.0.path());
        command.args(["document", "verify", "--dg2", "dg2", "--sod", "sod"]).args(more);
        let ran = command.stdin(Stdio::null()).output().expect("the binary starts");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
        (ran.status.code().expect("a code"), text(ran.stdout), text(ran.stderr))
    }
}

const AT: [&str; 4] = ["--csca", "csca", "--at", "2026-11-23"];

#[test]
fn a_verdict_is_an_exit_code() {
    let mut state = State::p256();
    let files = Files::of(&mut state);
    let (code, out, _) = files.verify(&[&AT[..], &["--dg1", "dg1"]].concat());
    assert!(code == 0 && out.starts_with("VALID\n"), "{code}: {out}");
    let (code, out, _) = files.verify(&[&AT[..], &["--json"]].concat());
    let report: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!((code, &report["verdict"]), (1, &Value::from("WEAK")));
    assert_eq!(report["weaknesses"], serde_json::json!(["COUNTRY_NOT_COMPARED"]));
    assert_eq!(report["signer"]["country_compared"], false);
    let (code, out, _) = files.verify(&["--csca", "csca", "--at", "2100-01-01"]);
    assert!(code == 1 && out.starts_with("INVALID (DS_CERT_EXPIRED)\n"), "{code}: {out}");
    let window = [NOW_S - DAY_S, NOW_S + DAY_S];
    let list = issuer::revocation_list(&state.csca.subject, window, &[2], &state.csca_key);
    files.write("list.crl", &list);
    let (code, out, _) = files.verify(&[&AT[..], &["--crl", "list.crl"]].concat());
    assert!(code == 1 && out.starts_with("INVALID (DS_CERT_REVOKED)\n"), "{code}: {out}");
}

#[test]
fn a_question_that_cannot_be_asked_is_an_error() {
    let files = Files::of(&mut State::p256());
    let (code, _, err) = files.verify(&[]);
    assert!(code == 2 && err.contains("documents.trust_store"), "{code}: {err}");
    files.write("csca/readme.txt", b"put the certificates here");
    let (code, _, err) = files.verify(&AT);
    assert!(code == 2 && err.contains("readme.txt"), "{code}: {err}");
    let (code, _, _) = files.verify(&["--at", "yesterday", "--csca", "csca"]);
    assert_eq!(code, 2);
}
