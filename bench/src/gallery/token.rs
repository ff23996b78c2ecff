//! What a change of epoch costs on a security module, apart from everything else: the calls that an
//! erasure makes of its custodian, in their order, on a token that is really there.

use std::{fs, path::PathBuf, sync::Arc};

use clap::Args;
use portcullis::{
    keys::{
        Custodian, CustodyError, Key, Phrase, Stand,
        custodian::{Pkcs11Custodian, TokenAddress},
    },
    random::{Entropy, SystemEntropy},
};

use super::{Failure, said};
use crate::spent::{Measured, nanoseconds};

/// Which token; all three or none.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct Token {
    /// Also time a security module: the PKCS#11 library.
    #[arg(long, value_name = "FILE", requires_all = ["pkcs11_token", "pkcs11_pin_file"])]
    pkcs11_module: Option<PathBuf>,
    /// The token's label.
    #[arg(long, value_name = "LABEL", requires = "pkcs11_module")]
    pkcs11_token: Option<String>,
    /// File whose first line is the user's PIN.
    #[arg(long, value_name = "FILE", requires = "pkcs11_module")]
    pkcs11_pin_file: Option<PathBuf>,
}

/// Times the token's share of an erasure, where a token is named.
///
/// # Errors
/// [`Failure`].
pub(super) fn epochs(token: &Token, rounds: usize) -> Result<(), Failure> {
    let (Some(library), Some(label), Some(pin_file)) =
        (&token.pkcs11_module, &token.pkcs11_token, &token.pkcs11_pin_file)
    else {
        println!("  token    not timed: no --pkcs11-module");
        return Ok(());
    };
    let text =
        fs::read_to_string(pin_file).map_err(|error| Failure::File(pin_file.clone(), error))?;
    let pin = Phrase::take(text.lines().next().unwrap_or_default().to_owned()).map_err(said)?;
    let locks = std::env::temp_dir().join(format!("portcullis-bench-{}", std::process::id()));
    let address = TokenAddress { library: library.clone(), label: label.clone(), locks };
    let custodian = Pkcs11Custodian::open(&address, pin, Arc::new(SystemEntropy)).map_err(said)?;
    let mut file = [0; 16];
    SystemEntropy.fill(&mut file);
    let key = Key::random(&SystemEntropy).map_err(said)?;
    let measured = change(&custodian, &file, &key, rounds as u64);
    // Whatever happened, the token keeps nothing of this.
    let forgotten = custodian.forget(&file);
    let measured = measured.map_err(said)?;
    forgotten.map_err(said)?;
    println!(
        "  token    its share of an erasure p50 {:.2} ms   p99 {:.2} ms: a new key, one wrap, the \
         old key destroyed",
        measured.median_ms(),
        measured.percentile_ms(99)
    );
    Ok(())
}

fn change(
    custodian: &dyn Custodian,
    file: &[u8; 16],
    key: &Key,
    rounds: u64,
) -> Result<Measured, CustodyError> {
    let mut measured = Measured::default();
    for epoch in 1..=rounds {
        let stand = Stand { epoch, generation: epoch };
        let mut outcome = Ok(());
        measured.extend([nanoseconds(|| {
            outcome = custodian
                .prepare(file, stand)
                .and_then(|()| custodian.wrap(file, epoch, key, b"bench").map(drop))
                .and_then(|()| custodian.commit(file, stand))
                .and_then(|()| match epoch {
                    1 => Ok(()),
                    _ => custodian.destroy(file, epoch - 1),
                });
        })]);
        outcome?;
    }
    Ok(measured)
}
