//! The ceremony with a root that is kept elsewhere: the certificate that comes in for our request is tried out.

use gatehouse_pki::{Anchors, Builtin, Certificate, Facts, Issuer, KeyAlgorithm, Policy, Profile, Purpose, SignedCsr, SoftwareKey};
use gatehouse_types::{Random, UnixTime};

/// Whether our key can sign under this chain: the chain is used for a throw-away certificate, and that is judged like
/// any that a peer presents. So every rule of verification holds for the chain, the root's constraints included.
pub(crate) fn check_chain(issuer: &Issuer, now: UnixTime, random: &dyn Random) -> Result<(), String> {
    let chain = issuer.chain();
    let (true, Some(root)) = (chain.len() > 1, chain.last()) else {
        return Err("it has to hold the authority's own certificate first and the root's last".to_owned());
    };
    let probe = || -> Result<Certificate, Box<dyn std::error::Error>> {
        let key = SoftwareKey::generate(KeyAlgorithm::P256)?;
        let facts = Facts::new().common_name("probe".parse()?);
        let approved = Profile::builtin(Builtin::AgentClient).approve(SignedCsr::for_key(&key)?, &facts, now)?;
        Ok(issuer.issue(approved, random)?)
    };
    let probe = probe().map_err(|error| format!("nothing can be signed with it: {error}"))?;
    let anchors = Anchors::builder().anchor(root.clone()).build().map_err(|error| error.to_string())?;
    let presented: Vec<&[u8]> = std::iter::once(probe.der()).chain(chain.iter().map(Certificate::der)).collect();
    anchors.verify(&presented, &Policy::new(Purpose::Client), now).map(drop).map_err(|rejection| rejection.to_string())
}
