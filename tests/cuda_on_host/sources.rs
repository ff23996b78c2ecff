//! The files themselves: that no kernel is forgotten, and that every one compiles for every
//! architecture with what its head promises.

use std::{
    collections::BTreeSet,
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{common, device::Device};

fn kernels() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("kernels")
}

/// Entries in the text of the kernels.
fn written() -> BTreeSet<String> {
    let mut entries = BTreeSet::new();
    for folder in [kernels(), kernels().join("shared")] {
        for file in fs::read_dir(folder).expect("the folder is there") {
            let path = file.expect("it can be listed").path();
            if path.extension().is_some_and(|ending| ending == "cu") {
                let text = fs::read_to_string(&path).expect("it can be read");
                for line in text.lines().filter(|line| line.starts_with("extern \"C\"")) {
                    let before = line.rsplit_once('(').expect("an argument").0;
                    let name = before.rsplit(' ').next().expect("a name");
                    entries.insert(name.to_owned());
                }
            }
        }
    }
    entries
}

#[test]
fn every_entry_runs_on_the_host_and_stands_in_the_readme() {
    let Some(mut device) = Device::start("entries", 4) else { return };
    let entries = written();
    assert_eq!(device.entries().into_iter().collect::<BTreeSet<_>>(), entries);
    let readme = fs::read_to_string(kernels().join("README.md")).expect("it is there");
    for entry in entries {
        let (stem, tail) = entry.split_at(entry.rfind('_').unwrap_or(0));
        let named = readme.contains(&format!("`{entry}`"))
            || readme.contains(&format!("`{stem}_1`")) && readme.contains(&format!("`{tail}`"))
            || readme.contains(&format!("`{stem}_32`")) && readme.contains(&format!("`{tail}`"));
        assert!(named, "kernels/README.md says nothing about {entry}");
    }
}

/// Where the wheel of NVRTC was unpacked; `./test` installs it and says so.
fn nvrtc() -> Option<PathBuf> {
    let said = env::var_os("PORTCULLIS_NVRTC")?;
    (!said.is_empty()).then(|| said.into())
}

#[test]
fn every_kernel_compiles_for_every_architecture_without_a_spill() {
    let test = "every_kernel_compiles_for_every_architecture_without_a_spill";
    let Some(folder) = nvrtc() else {
        common::skip(test, "nvrtc", "PORTCULLIS_NVRTC names no folder with the wheel of NVRTC");
        return;
    };
    let checked = Command::new("python3")
        .arg(kernels().join("check.py"))
        .arg(folder)
        .output()
        .expect("python can be started");
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
}
