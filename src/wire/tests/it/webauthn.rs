//! Web Authentication Level 3 §6: what authenticators say, taken apart, and refused where it is not what it tells.

use gatehouse_wire::webauthn::{AttestationObject, AuthenticatorData, CoseKey, MAX_CREDENTIAL_ID, WebauthnError};

const X: [u8; 32] = [7; 32];
const Y: [u8; 32] = [9; 32];

/// §6.5.1.1, the example of an ES256 key.
fn es256() -> Vec<u8> {
    [&[0xa5, 1, 2, 3, 0x26, 0x20, 1, 0x21, 0x58, 32][..], &X, &[0x22, 0x58, 32], &Y].concat()
}

fn eddsa() -> Vec<u8> {
    [&[0xa4, 1, 1, 3, 0x27, 0x20, 6, 0x21, 0x58, 32][..], &X].concat()
}

fn rs256(modulus: u16) -> Vec<u8> {
    let n = vec![0xc1; modulus.into()];
    [&[0xa4, 1, 3, 3, 0x39, 1, 0, 0x20, 0x59][..], &modulus.to_be_bytes(), &n, &[0x21, 0x43, 1, 0, 1]].concat()
}

const USER_PRESENT: u8 = 1;
const VERIFIED: u8 = 1 << 2;
const BACKED_UP: u8 = 1 << 3 | 1 << 4;
const CREDENTIAL: u8 = 1 << 6;
const EXTENSIONS: u8 = 1 << 7;

fn data(flags: u8, rest: &[u8]) -> Vec<u8> {
    [&[0xaa; 32][..], &[flags, 0, 0, 1, 2], rest].concat()
}

fn credential(id: &[u8], key: &[u8]) -> Vec<u8> {
    [&[3; 16][..], &u16::try_from(id.len()).expect("short").to_be_bytes(), id, key].concat()
}

/// With a statement that nobody looks at.
fn object(data: &[u8]) -> Vec<u8> {
    let length = u16::try_from(data.len()).expect("short").to_be_bytes();
    let statement = [0xa1, 0x63, b's', b'i', b'g', 0x81, 0x41, 0];
    [&b"\xa3\x63fmt\x66packed\x67attStmt"[..], &statement, b"\x68authData\x59", &length, data].concat()
}

#[test]
fn keys_of_the_three_kinds_are_read() {
    assert_eq!(CoseKey::parse(&es256()), Ok(CoseKey::Es256 { x: X, y: Y }));
    assert_eq!(CoseKey::parse(&eddsa()), Ok(CoseKey::EdDsa(X)));
    assert_eq!(CoseKey::parse(&rs256(256)), Ok(CoseKey::Rs256 { n: vec![0xc1; 256], e: vec![1, 0, 1] }));
}

#[test]
fn a_key_of_another_kind_or_size_is_refused() {
    let with = |at: usize, byte: u8| {
        let mut key = es256();
        key[at] = byte;
        key
    };
    let compressed = [&[0xa5, 1, 2, 3, 0x26, 0x20, 1, 0x21, 0x58, 32][..], &X, &[0x22, 0xf5]].concat();
    let twice = [&[0xa6, 1, 2, 1, 2, 3, 0x26, 0x20, 1, 0x21, 0x58, 32][..], &X, &[0x22, 0x58, 32], &Y].concat();
    let short = [&[0xa4, 1, 1, 3, 0x27, 0x20, 6, 0x21, 0x58, 31][..], &X[1..]].concat();
    let es384_on_p256 = with(4, 0x38);
    for key in [with(2, 1), with(4, 0x27), with(6, 2), compressed, twice, short, rs256(255), rs256(1025), vec![0xa0], vec![0x80]] {
        assert_eq!(CoseKey::parse(&key), Err(WebauthnError::Key), "{key:02x?}");
    }
    assert!(CoseKey::parse(&es384_on_p256).is_err());
    assert!(matches!(CoseKey::parse(&[es256(), vec![0]].concat()), Err(WebauthnError::Cbor(_))), "something follows");
    assert!(matches!(CoseKey::parse(&es256()[..50]), Err(WebauthnError::Cbor(_))), "it ends early");
}

#[test]
fn parameters_that_nobody_knows_are_passed_over() {
    let more = [&[0xa6, 1, 2, 3, 0x26, 0x20, 1, 4, 0x82, 1, 0xa1, 1, 2, 0x21, 0x58, 32][..], &X, &[0x22, 0x58, 32], &Y].concat();
    assert_eq!(CoseKey::parse(&more), Ok(CoseKey::Es256 { x: X, y: Y }));
}

#[test]
fn a_signatures_data_tell_for_whom_and_how_often() {
    let bytes = data(USER_PRESENT | VERIFIED | BACKED_UP, &[]);
    let data = AuthenticatorData::parse(&bytes).expect("good");
    assert_eq!((data.rp_id_hash, data.counter, data.credential), ([0xaa; 32], 0x0102, None));
    assert!(data.flags.user_present() && data.flags.user_verified() && data.flags.backup_eligible() && data.flags.backed_up());
    let none = self::data(0, &[]);
    let flags = AuthenticatorData::parse(&none).expect("good").flags;
    assert!(!(flags.user_present() || flags.user_verified() || flags.backup_eligible() || flags.backed_up()));
}

#[test]
fn a_new_credential_and_extensions_are_found_behind_it() {
    let extensions = [0xa1, 0x69, b'h', b'm', b'a', b'c', b'-', b's', b'e', b'c', b'r', 0xf5];
    for (flags, tail) in [(CREDENTIAL, &[][..]), (CREDENTIAL | EXTENSIONS, &extensions[..])] {
        let bytes = data(flags, &[&credential(b"id", &es256())[..], tail].concat());
        let found = AuthenticatorData::parse(&bytes).expect("good").credential.expect("a credential");
        assert_eq!((found.aaguid, found.id, found.key), ([3; 16], &b"id"[..], CoseKey::Es256 { x: X, y: Y }));
    }
    assert!(AuthenticatorData::parse(&data(EXTENSIONS, &extensions)).expect("good").credential.is_none());
}

#[test]
fn data_that_are_not_as_long_as_they_tell_are_refused() {
    for bytes in [
        vec![],
        data(0, &[])[..36].to_vec(),
        data(0, &[0]),
        data(CREDENTIAL, &[]),
        data(CREDENTIAL, &[&credential(b"id", &es256())[..], &[0]].concat()),
        data(CREDENTIAL, &credential(b"id", &[])[..17]),
    ] {
        assert_eq!(AuthenticatorData::parse(&bytes), Err(WebauthnError::Length), "{bytes:02x?}");
    }
    assert_eq!(AuthenticatorData::parse(&data(EXTENSIONS, &[0x80])), Err(WebauthnError::Extensions));
}

#[test]
fn an_id_has_as_many_bytes_as_the_specification_allows() {
    for (length, good) in [(0, false), (1, true), (MAX_CREDENTIAL_ID, true), (MAX_CREDENTIAL_ID + 1, false)] {
        let bytes = data(CREDENTIAL, &credential(&vec![5; length], &es256()));
        let refused = AuthenticatorData::parse(&bytes).err();
        assert_eq!(refused, (!good).then_some(WebauthnError::CredentialId), "{length}");
    }
}

#[test]
fn an_attestation_object_is_read_whatever_its_statement() {
    let bytes = object(&data(CREDENTIAL, &credential(b"id", &eddsa())));
    let object = AttestationObject::parse(&bytes).expect("good");
    assert_eq!(object.format, "packed");
    assert_eq!(object.authenticator_data.credential.expect("a credential").key, CoseKey::EdDsa(X));
}

#[test]
fn what_is_no_attestation_object_is_refused() {
    let twice = b"\xa3\x63fmt\x64none\x63fmt\x64none\x68authData\x40";
    for bytes in [&b"\xa1\x63fmt\x64none"[..], b"\xa1\x68authData\x40", b"\xa2\x63fmt\x01\x68authData\x40", b"\xbf\xff", b"\xa9", twice] {
        assert_eq!(AttestationObject::parse(bytes), Err(WebauthnError::Attestation), "{bytes:02x?}");
    }
    assert_eq!(AttestationObject::parse(b"\xa2\x63fmt\x64none\x68authData\x41\x00"), Err(WebauthnError::Length));
}
