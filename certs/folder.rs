//! Where the chains are kept: PEM files in a folder for each.

use crate::{
    Error,
    chain::{Bundle, Keys},
    good,
    key::{Key, NAMES},
    mutation,
};
use openssl::base64;
use std::{
    fs,
    path::{Path, PathBuf},
};

/// `certs/` of this work tree.
pub fn home() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Makes the keys that are missing, and all chains and the list of mutations anew. Returns how many chains there are.
pub fn regenerate(home: &Path) -> Result<usize, Error> {
    make_keys(&home.join("keys"))?;
    let keys = Keys::load(&home.join("keys"))?;
    for kind in ["good", "bad"] {
        let folder = home.join(kind);
        if folder.exists() {
            fs::remove_dir_all(&folder).map_err(|error| Error::File(folder, error))?;
        }
    }
    let corpus = crate::corpus(&keys)?;
    for (name, bundle) in &corpus {
        let folder = home.join(name);
        write(&folder, bundle)?;
        if let Some(key) = key_of_leaf(&keys, bundle)? {
            write_file(&folder.join("leaf-key.pem"), &key.pem()?)?;
        }
    }
    let rows = mutation::table(&good::bases(&keys)?);
    let text: String = rows.iter().map(|row| row.line() + "\n").collect();
    write_file(&home.join("mutations.tsv"), text.as_bytes())?;
    Ok(corpus.len())
}

/// Writes one chain: `chain.pem` as a peer presents it, `anchors.pem`, and where there are any `intermediates.pem`
/// and `lists.pem`. The command puts `leaf-key.pem` beside them, so that a chain can be shown in a handshake.
pub fn write(folder: &Path, bundle: &Bundle) -> Result<(), Error> {
    fs::create_dir_all(folder).map_err(|error| Error::File(folder.into(), error))?;
    write_file(&folder.join("chain.pem"), pem("CERTIFICATE", &bundle.presented).as_bytes())?;
    write_file(&folder.join("anchors.pem"), pem("CERTIFICATE", &bundle.anchors).as_bytes())?;
    if !bundle.intermediates.is_empty() {
        write_file(&folder.join("intermediates.pem"), pem("CERTIFICATE", &bundle.intermediates).as_bytes())?;
    }
    if !bundle.lists.is_empty() {
        write_file(&folder.join("lists.pem"), pem("X509 CRL", &bundle.lists).as_bytes())?;
    }
    Ok(())
}

/// Reads one chain.
pub fn read(folder: &Path) -> Result<Bundle, Error> {
    let blocks = |name: &str| -> Result<Vec<Vec<u8>>, Error> {
        let path = folder.join(name);
        let text = fs::read_to_string(&path).map_err(|error| Error::File(path.clone(), error))?;
        unpem(&text).ok_or(Error::Pem(path))
    };
    let optional = |name: &str| if folder.join(name).exists() { blocks(name) } else { Ok(Vec::new()) };
    Ok(Bundle {
        presented: blocks("chain.pem")?,
        anchors: blocks("anchors.pem")?,
        intermediates: optional("intermediates.pem")?,
        lists: optional("lists.pem")?,
    })
}

/// The names of all chains that are kept.
pub fn names(home: &Path) -> Result<Vec<String>, Error> {
    let mut names = Vec::new();
    for kind in ["good", "bad"] {
        let folder = home.join(kind);
        for entry in fs::read_dir(&folder).map_err(|error| Error::File(folder.clone(), error))? {
            let entry = entry.map_err(|error| Error::File(folder.clone(), error))?;
            names.push(format!("{kind}/{}", entry.file_name().to_string_lossy()));
        }
    }
    names.sort();
    Ok(names)
}

/// The private key of the leaf, which most leaves have.
fn key_of_leaf<'a>(keys: &'a Keys, bundle: &Bundle) -> Result<Option<&'a Key>, Error> {
    for name in NAMES {
        let spki = keys.get(name).spki()?;
        if bundle.presented.first().is_some_and(|leaf| leaf.windows(spki.len()).any(|window| window == spki)) {
            return Ok(Some(keys.get(name)));
        }
    }
    Ok(None)
}

fn make_keys(folder: &Path) -> Result<(), Error> {
    fs::create_dir_all(folder).map_err(|error| Error::File(folder.into(), error))?;
    for name in NAMES {
        let path = folder.join(format!("{name}.pem"));
        if !path.exists() {
            write_file(&path, &Key::generate(name)?.pem()?)?;
        }
    }
    Ok(())
}

fn write_file(path: &Path, content: &[u8]) -> Result<(), Error> {
    fs::write(path, content).map_err(|error| Error::File(path.into(), error))
}

fn pem(kind: &str, blocks: &[Vec<u8>]) -> String {
    let block = |der: &Vec<u8>| {
        let text = base64::encode_block(der);
        let lines: Vec<&str> = text.as_bytes().chunks(64).filter_map(|line| std::str::from_utf8(line).ok()).collect();
        format!("-----BEGIN {kind}-----\n{}\n-----END {kind}-----\n", lines.join("\n"))
    };
    blocks.iter().map(block).collect()
}

fn unpem(text: &str) -> Option<Vec<Vec<u8>>> {
    let mut blocks = Vec::new();
    for block in text.split("-----BEGIN ").skip(1) {
        let (_, rest) = block.split_once("-----\n")?;
        let (base64, _) = rest.split_once("-----END ")?;
        blocks.push(base64::decode_block(&base64.replace('\n', "")).ok()?);
    }
    Some(blocks)
}
