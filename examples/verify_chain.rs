//! Verifies a chain: what a door does with the certificates that a peer presents.
//!
//! ```text
//! cargo run --example verify_chain                                          # a good chain and a bad one of certs/
//! cargo run --example verify_chain -- chain.pem anchors.pem                 # as a TLS client, leaf first
//! cargo run --example verify_chain -- chain.pem anchors.pem lists.pem       # with a revocation list
//! ```

use gatehouse_base::{Clock, SystemClock};
use gatehouse_pki::{Anchors, Certificate, CertificateList, Policy, Purpose};
use std::{error::Error, fs, io::Write, path::Path};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] => {
            let certs = Path::new(env!("CARGO_MANIFEST_DIR")).join("certs");
            for chain in ["good/p256-long", "bad/path-too-long"] {
                let folder = certs.join(chain);
                writeln!(std::io::stdout(), "certs/{chain}:")?;
                verify(&folder.join("chain.pem"), &folder.join("anchors.pem"), None)?;
            }
            Ok(())
        }
        [chain, anchors] => verify(chain.as_ref(), anchors.as_ref(), None),
        [chain, anchors, list] => verify(chain.as_ref(), anchors.as_ref(), Some(list.as_ref())),
        _ => Err("give a chain and its anchors, and a revocation list if there is one".into()),
    }
}

fn verify(chain: &Path, anchors: &Path, list: Option<&Path>) -> Result<(), Box<dyn Error>> {
    // What is configured is read and prepared once, long before anybody knocks.
    let mut builder = Certificate::chain_from_pem(&fs::read(anchors)?)?.into_iter().fold(Anchors::builder(), |all, one| all.anchor(one));
    if let Some(list) = list {
        builder = builder.revocation_list(CertificateList::from_pem(&fs::read(list)?)?);
    }
    let anchors = builder.build()?;

    // What a peer presents are bytes. Nothing is believed of them before `verify` has looked.
    let presented: Vec<Vec<u8>> = Certificate::chain_from_pem(&fs::read(chain)?)?.iter().map(|one| one.der().to_vec()).collect();

    let mut out = std::io::stdout();
    match anchors.verify(&presented, &Policy::new(Purpose::Client), SystemClock.now()) {
        Ok(verified) => {
            for certificate in verified.path() {
                writeln!(out, "  {} (serial {})", certificate.subject(), certificate.serial())?;
            }
            writeln!(out, "  good until {}, {} signatures checked", verified.valid_until(), verified.signature_checks())?;
        }
        Err(rejection) => writeln!(out, "  refused, {:?} is to blame: {rejection}", rejection.blame())?,
    }
    Ok(())
}
