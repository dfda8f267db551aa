//! What OpenSSL says about a chain: `openssl verify -x509_strict -partial_chain` with purpose and time.
//!
//! Inside this process where no revocation list is needed, because that is a hundred times quicker, and by the real
//! command where one is: the crate has no call for adding a list.

use crate::{
    Error,
    chain::{Bundle, Purpose, Question, Revocation},
    folder,
};
use openssl::{
    stack::Stack,
    x509::{
        X509, X509PurposeId, X509StoreContext,
        store::X509StoreBuilder,
        verify::{X509VerifyFlags, X509VerifyParam},
    },
};
use std::{path::Path, process::Command};

/// OpenSSL's answer: nothing, or its reason.
pub type Answer = Result<(), String>;

/// Asks OpenSSL inside this process. Without revocation lists.
pub fn ask(bundle: &Bundle, question: &Question) -> Result<Answer, Error> {
    let unreadable = |what: &str| Ok(Err(format!("cannot read {what}")));
    let Some((leaf, others)) = bundle.presented.split_first() else { return unreadable("nothing") };
    let Ok(leaf) = X509::from_der(leaf) else { return unreadable("the leaf") };
    let mut untrusted = Stack::new()?;
    for der in others.iter().chain(&bundle.intermediates) {
        // The command, too, passes over what it cannot read here.
        if let Ok(certificate) = X509::from_der(der) {
            untrusted.push(certificate)?;
        }
    }
    let mut store = X509StoreBuilder::new()?;
    for der in &bundle.anchors {
        match X509::from_der(der) {
            Ok(certificate) => store.add_cert(certificate)?,
            Err(_) => return unreadable("an anchor"),
        }
    }
    let mut parameters = X509VerifyParam::new()?;
    parameters.set_flags(X509VerifyFlags::X509_STRICT | X509VerifyFlags::PARTIAL_CHAIN)?;
    parameters.set_time(question.at.unix_timestamp());
    parameters.set_purpose(purpose(question.purpose))?;
    store.set_param(&parameters)?;
    let store = store.build();
    let mut context = X509StoreContext::new()?;
    let (good, error) = context.init(&store, &leaf, &untrusted, |context| Ok((context.verify_cert()?, context.error())))?;
    Ok(if good { Ok(()) } else { Err(error.error_string().to_owned()) })
}

/// Asks the real command, in a folder for its files.
pub fn run(bundle: &Bundle, question: &Question, files: &Path) -> Result<Answer, Error> {
    folder::write(files, bundle)?;
    let Some((leaf, others)) = bundle.presented.split_first() else { return Ok(Err("cannot read nothing".to_owned())) };
    let part = |name: &str, certificates: Vec<Vec<u8>>| {
        folder::write(
            &files.join(name),
            &Bundle { presented: certificates, anchors: Vec::new(), intermediates: Vec::new(), lists: Vec::new() },
        )
    };
    part("leaf", vec![leaf.clone()])?;
    part("untrusted", others.iter().chain(&bundle.intermediates).cloned().collect())?;
    let mut command = Command::new("openssl");
    command.args(["verify", "-x509_strict", "-partial_chain", "-no-CApath", "-no-CAstore"]);
    command.args(["-attime", &question.at.unix_timestamp().to_string(), "-purpose"]);
    command.arg(if question.purpose == Purpose::Server { "sslserver" } else { "sslclient" });
    command.arg("-CAfile").arg(files.join("anchors.pem"));
    if others.len() + bundle.intermediates.len() > 0 {
        command.arg("-untrusted").arg(files.join("untrusted/chain.pem"));
    }
    let checks_lists = match question.revocation {
        Revocation::Ignore => false,
        Revocation::WhenPresent => !bundle.lists.is_empty(),
        Revocation::Require => true,
    };
    if checks_lists {
        command.args(["-crl_check", "-crl_check_all"]);
        if !bundle.lists.is_empty() {
            command.arg("-CRLfile").arg(files.join("lists.pem"));
        }
    }
    command.arg(files.join("leaf/chain.pem"));
    let output = command.output().map_err(|error| Error::File("openssl".into(), error))?;
    if output.status.success() {
        return Ok(Ok(()));
    }
    // "error 20 at 0 depth lookup: unable to get local issuer certificate"
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let reason = text.lines().find_map(|line| line.split_once("depth lookup: ").map(|(_, reason)| reason.trim().to_owned()));
    Ok(Err(reason.unwrap_or_else(|| "cannot read a file".to_owned())))
}

fn purpose(purpose: Purpose) -> X509PurposeId {
    match purpose {
        Purpose::Client | Purpose::OcfDevice => X509PurposeId::SSL_CLIENT,
        Purpose::Server => X509PurposeId::SSL_SERVER,
    }
}
