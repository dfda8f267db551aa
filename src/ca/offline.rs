//! The ceremony with a root that is kept elsewhere: our request goes out, its certificate comes in.

use gatehouse_pki::{
    Anchors, Builtin, Certificate, Facts, Issuer, KeyAlgorithm, Policy, Profile, Purpose, SignedCsr, Signer, SignerError, SoftwareKey,
};
use gatehouse_types::{Random, UnixTime};

/// A PKCS#10 request (RFC 2986) for the signer's key, in PEM. It asks for a name and nothing else: what the
/// certificate may do is the root's decision.
pub(crate) fn request(signer: &dyn Signer, organisation: &str, common_name: &str) -> Result<String, SignerError> {
    let subject = sequence(&[attribute(ORGANISATION, organisation), attribute(COMMON_NAME, common_name)].concat());
    let version = [0x02, 0x01, 0x00];
    let no_attributes = [0xa0, 0x00];
    let info = sequence(&[&version, subject.as_slice(), signer.public_key().spki_der(), &no_attributes].concat());
    let signature = signer.sign(&info)?;
    let request = sequence(&[info, signer.signature_algorithm().identifier_der().to_vec(), bits(&signature)].concat());
    Ok(pem(&request))
}

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

/// 2.5.4.10 and 2.5.4.3 (X.520), as DER object identifiers.
const ORGANISATION: [u8; 5] = [0x06, 0x03, 0x55, 0x04, 0x0a];
const COMMON_NAME: [u8; 5] = [0x06, 0x03, 0x55, 0x04, 0x03];

fn attribute(kind: [u8; 5], text: &str) -> Vec<u8> {
    let value = element(0x0c, text.as_bytes());
    element(0x31, &sequence(&[kind.as_slice(), &value].concat()))
}

fn sequence(content: &[u8]) -> Vec<u8> {
    element(0x30, content)
}

fn bits(content: &[u8]) -> Vec<u8> {
    element(0x03, &[&[0], content].concat())
}

fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let mut der = vec![tag];
    match length {
        0..=0x7f => der.push(length as u8),
        0x80..=0xff => der.extend([0x81, length as u8]),
        // A request has some hundred bytes.
        _ => der.extend([0x82, (length >> 8) as u8, length as u8]),
    }
    der.extend_from_slice(content);
    der
}

fn pem(der: &[u8]) -> String {
    use base64::{Engine, engine::general_purpose::STANDARD};
    let text = STANDARD.encode(der);
    let lines: Vec<&str> = text.as_bytes().chunks(64).filter_map(|line| std::str::from_utf8(line).ok()).collect();
    format!("-----BEGIN CERTIFICATE REQUEST-----\n{}\n-----END CERTIFICATE REQUEST-----\n", lines.join("\n"))
}
