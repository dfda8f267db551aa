//! What OpenSSL offers in C and the `openssl` crate does not bind. The only file of the workspace's servers that says `unsafe`.
//!
//! [`context`](super::context) calls it, and so does DTLS. It has three parts. The first is
//! what DTLS has beside TLS: cookies, timers, sessions. The second replaces OpenSSL's own judgement of a peer's chain by a
//! function of ours. The third is a provider, OpenSSL 3's way of bringing implementations along. Its keys on P-256 and P-384 are
//! [`keys`](super::keys), so that those in custody and in tokens sign here as they do under rustls without that OpenSSL sees them;
//! everything else that a handshake takes it passes on from OpenSSL's own. It lives in a library context of its own, where nobody else
//! looks for algorithms and there are few to look through.
//!
//! No panic crosses into C, and every failed call leaves OpenSSL's queue of errors empty: what stays in it would be reported by the next
//! connection on the same thread. Nothing here decides anything.
#![allow(unsafe_code, reason = "these are calls into C, and the functions that C calls back; each says what it relies on")]

use super::{
    keys::{Curve, Hash, Key, Sign},
    prf,
};
use foreign_types::{ForeignType, ForeignTypeRef};
use gatehouse_types::Secret;
use openssl::{
    cipher::Cipher,
    error::ErrorStack,
    ex_data::Index,
    lib_ctx::LibCtxRef,
    pkey::{PKey, Private},
    ssl::{Ssl, SslCipherRef, SslContextBuilder, SslMethod, SslRef, SslSession, SslStream},
    x509::X509,
};
use openssl_sys::{
    EVP_PKEY, EVP_PKEY_CTX_free, EVP_PKEY_CTX_new_from_name, EVP_PKEY_fromdata, EVP_PKEY_fromdata_init, OSSL_LIB_CTX, OSSL_LIB_CTX_new,
    OSSL_PARAM, OSSL_PARAM_construct_end, OSSL_PARAM_construct_octet_string, OSSL_PARAM_get_octet_string_ptr,
    OSSL_PARAM_get_utf8_string_ptr, OSSL_PARAM_locate, OSSL_PARAM_locate_const, OSSL_PROVIDER, OSSL_PROVIDER_load, SSL, SSL_CIPHER,
    SSL_CTX, SSL_METHOD, SSL_SESSION, SSL_ctrl, X509_STORE_CTX, X509_STORE_CTX_get_ex_data, X509_STORE_CTX_set_error, d2i_X509,
};
use std::{
    ffi::{CStr, c_char, c_int, c_long, c_uchar, c_uint, c_void},
    panic::{AssertUnwindSafe, catch_unwind},
    ptr,
    sync::{Arc, OnceLock},
    time::Duration,
};

unsafe extern "C" {
    fn SSL_CTX_set_cert_verify_callback(context: *mut SSL_CTX, callback: Option<VerifyCallback>, argument: *mut c_void);
    fn SSL_CTX_set_msg_callback(context: *mut SSL_CTX, callback: Option<MessageCallback>);
    fn SSL_CTX_ctrl(context: *mut SSL_CTX, command: c_int, number: c_long, pointer: *mut c_void) -> c_long;
    fn SSL_CTX_new_ex(library: *mut OSSL_LIB_CTX, properties: *const c_char, method: *const SSL_METHOD) -> *mut SSL_CTX;
    fn X509_new_ex(library: *mut OSSL_LIB_CTX, properties: *const c_char) -> *mut openssl_sys::X509;
    fn OSSL_PROVIDER_add_builtin(library: *mut OSSL_LIB_CTX, name: *const c_char, init: ProviderInit) -> c_int;
    fn OSSL_PROVIDER_get0_provider_ctx(provider: *const OSSL_PROVIDER) -> *mut c_void;
    fn OSSL_PROVIDER_query_operation(provider: *const OSSL_PROVIDER, operation: c_int, no_cache: *mut c_int) -> *const Algorithm;
    fn OSSL_PROVIDER_get_capabilities(provider: *const OSSL_PROVIDER, name: *const c_char, tell: Callback, argument: *mut c_void) -> c_int;
    fn OSSL_PARAM_construct_int(key: *const c_char, value: *mut c_int) -> OSSL_PARAM;
    fn OSSL_PARAM_set_octet_string(param: *mut OSSL_PARAM, value: *const c_void, length: usize) -> c_int;
    fn OSSL_PARAM_construct_utf8_string(key: *const c_char, buffer: *mut c_char, size: usize) -> OSSL_PARAM;
    fn OSSL_PARAM_set_int(param: *mut OSSL_PARAM, value: c_int) -> c_int;
    fn OSSL_PARAM_set_utf8_string(param: *mut OSSL_PARAM, value: *const c_char) -> c_int;
}

/// `SSL_CTRL_SET_CLIENT_SIGALGS_LIST` of `openssl/ssl.h`.
const SET_CLIENT_SIGNATURE_ALGORITHMS: c_int = 102;
/// `SSL_CTRL_SET_MAX_SEND_FRAGMENT`.
const SET_MAX_SEND_FRAGMENT: c_int = 52;
/// `SSL_CTRL_SET_MAX_CERT_LIST`.
const SET_MAX_CERT_LIST: c_int = 51;

/// Leaves the queue of this thread's errors empty.
pub(crate) fn forget_errors() {
    drop(ErrorStack::get());
}

/// Runs what OpenSSL calls through the `openssl` crate, which lets panics pass: one that came into C would end the process. `None` where
/// it panics.
pub(crate) fn contain<T>(run: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(run)).ok()
}

/// Which signatures a server accepts of clients. What it makes itself is another list (`set_sigalgs_list`).
pub(crate) fn set_client_signature_algorithms(builder: &mut SslContextBuilder, list: &CStr) -> Result<(), ErrorStack> {
    // SAFETY: the pointer is that of a live context, and OpenSSL copies the list.
    let done = unsafe { SSL_CTX_ctrl(builder.as_ptr(), SET_CLIENT_SIGNATURE_ALGORITHMS, 0, list.as_ptr().cast_mut().cast()) };
    if done == 1 { Ok(()) } else { Err(ErrorStack::get()) }
}

/// The most plaintext of one record.
pub(crate) fn set_max_record(builder: &mut SslContextBuilder, size: usize) -> Result<(), ErrorStack> {
    // SAFETY: the pointer is that of a live context.
    let done = unsafe { SSL_CTX_ctrl(builder.as_ptr(), SET_MAX_SEND_FRAGMENT, long(size), ptr::null_mut()) };
    if done == 1 { Ok(()) } else { Err(ErrorStack::get()) }
}

/// The longest handshake message with a chain that is read.
pub(crate) fn set_max_chain(builder: &mut SslContextBuilder, size: usize) {
    // SAFETY: the pointer is that of a live context. The answer is the previous value.
    unsafe { SSL_CTX_ctrl(builder.as_ptr(), SET_MAX_CERT_LIST, long(size), ptr::null_mut()) };
}

fn long(size: usize) -> c_long {
    c_long::try_from(size).unwrap_or(c_long::MAX)
}

// ---- Datagrams ----

unsafe extern "C" {
    fn DTLSv1_listen(connection: *mut SSL, peer: *mut c_void) -> c_int;
    fn BIO_ADDR_new() -> *mut c_void;
    fn BIO_ADDR_free(address: *mut c_void);
    fn DTLS_set_timer_cb(connection: *mut SSL, callback: unsafe extern "C" fn(*mut SSL, c_uint) -> c_uint);
    fn SSL_get_pending_cipher(connection: *const SSL) -> *const SSL_CIPHER;
    fn SSL_free_buffers(connection: *mut SSL) -> c_int;
    fn SSL_alloc_buffers(connection: *mut SSL) -> c_int;
    fn SSL_SESSION_get_max_fragment_length(session: *const SSL_SESSION) -> u8;
    fn SSL_CTX_set_timeout(context: *mut SSL_CTX, seconds: c_long) -> c_long;
}

/// `DTLS_CTRL_GET_TIMEOUT` and `DTLS_CTRL_HANDLE_TIMEOUT`.
const GET_TIMEOUT: c_int = 73;
const HANDLE_TIMEOUT: c_int = 74;

/// No flight waits longer for its answer (RFC 6347 §4.2.4.1).
const LONGEST_TIMEOUT: c_uint = 60_000_000;

/// The connection of a stream, to be changed.
pub(crate) fn connection<S>(stream: &mut SslStream<S>) -> &mut SslRef {
    // SAFETY: the stream owns the connection, and is borrowed for as long as the answer is used.
    unsafe { SslRef::from_ptr_mut(stream.ssl().as_ptr()) }
}

/// Looks at what the stream has to read, without keeping anything about it, and writes a request for a cookie if it is a hello
/// without a valid one. Whether it is one that has a valid cookie; then the connection is the server's end of a handshake.
pub(crate) fn listen<S>(stream: &mut SslStream<S>) -> bool {
    let connection = stream.ssl().as_ptr();
    // SAFETY: a live connection, and an address that lives as long as the call. Streams of ours say nothing about addresses.
    let answer = unsafe {
        let peer = BIO_ADDR_new();
        let answer = if peer.is_null() { 0 } else { DTLSv1_listen(connection, peer) };
        BIO_ADDR_free(peer);
        answer
    };
    forget_errors();
    answer == 1
}

/// After this time without an answer, a flight of a handshake is sent again for the first time.
pub(crate) fn set_first_timeout(connection: &mut SslRef, first: Duration) -> Result<(), ErrorStack> {
    let micros = c_uint::try_from(first.as_micros()).unwrap_or(LONGEST_TIMEOUT).min(LONGEST_TIMEOUT);
    connection.set_ex_data(first_timeout()?, micros);
    // SAFETY: a live connection, and a function, which lives for ever.
    unsafe { DTLS_set_timer_cb(connection.as_ptr(), next_timeout) };
    Ok(())
}

unsafe extern "C" fn next_timeout(connection: *mut SSL, current: c_uint) -> c_uint {
    const SECOND: c_uint = 1_000_000;
    if current != 0 {
        return current.saturating_mul(2).min(LONGEST_TIMEOUT);
    }
    // SAFETY: OpenSSL hands over a live connection.
    let connection = unsafe { SslRef::from_ptr(connection) };
    first_timeout().ok().and_then(|index| connection.ex_data(index).copied()).unwrap_or(SECOND)
}

fn first_timeout() -> Result<Index<Ssl, c_uint>, ErrorStack> {
    static INDEX: OnceLock<Index<Ssl, c_uint>> = OnceLock::new();
    if let Some(index) = INDEX.get() {
        return Ok(*index);
    }
    let made = Ssl::new_ex_index()?;
    Ok(*INDEX.get_or_init(|| made))
}

/// How long until a flight is to be sent again. `None` while no answer is waited for.
pub(crate) fn time_left<S>(stream: &mut SslStream<S>) -> Option<Duration> {
    let mut left = libc::timeval { tv_sec: 0, tv_usec: 0 };
    // SAFETY: a live connection, and a place for the answer that lives as long as the call.
    let running = unsafe { SSL_ctrl(stream.ssl().as_ptr(), GET_TIMEOUT, 0, (&raw mut left).cast()) };
    let seconds = Duration::from_secs(u64::try_from(left.tv_sec).unwrap_or(0));
    (running == 1).then(|| seconds + Duration::from_micros(u64::try_from(left.tv_usec).unwrap_or(0)))
}

/// Sends a flight again whose time is over. `false` when that was done often enough.
pub(crate) fn handle_timeout<S>(stream: &mut SslStream<S>) -> bool {
    // SAFETY: a live connection.
    let done = unsafe { SSL_ctrl(stream.ssl().as_ptr(), HANDLE_TIMEOUT, 0, ptr::null_mut()) };
    forget_errors();
    done >= 0
}

/// The suite that is in use, or else the one that was chosen for use.
pub(crate) fn suite(connection: &SslRef) -> Option<&'static str> {
    connection.current_cipher().map(SslCipherRef::name).or_else(|| {
        // SAFETY: a live connection. A suite is a constant in OpenSSL's tables, and is null where none was chosen.
        unsafe {
            let chosen = SSL_get_pending_cipher(connection.as_ptr());
            (!chosen.is_null()).then(|| SslCipherRef::from_ptr(chosen.cast_mut()).name())
        }
    })
}

/// Whether the peer has asked for short records (RFC 6066 §4).
pub(crate) fn limits_fragments(connection: &SslRef) -> bool {
    // SAFETY: a live session.
    connection.session().is_some_and(|session| unsafe { SSL_SESSION_get_max_fragment_length(session.as_ptr()) } != 0)
}

/// Gives the buffers of an idle connection back, unless something is in them. Before it writes again they are to be allocated.
pub(crate) fn free_buffers<S>(stream: &mut SslStream<S>) {
    // SAFETY: a live connection. It refuses where records are under way.
    unsafe { SSL_free_buffers(stream.ssl().as_ptr()) };
    forget_errors();
}

/// Allocates the buffers of a connection that has given them back; nothing where it has them.
pub(crate) fn allocate_buffers<S>(stream: &mut SslStream<S>) -> bool {
    // SAFETY: a live connection.
    let done = unsafe { SSL_alloc_buffers(stream.ssl().as_ptr()) };
    forget_errors();
    done == 1
}

/// For how long a session may be resumed, as far as OpenSSL is concerned.
pub(crate) fn set_session_lifetime(builder: &mut SslContextBuilder, lifetime: Duration) {
    // SAFETY: the pointer is that of a live context. The answer is the previous value.
    unsafe { SSL_CTX_set_timeout(builder.as_ptr(), c_long::try_from(lifetime.as_secs()).unwrap_or(c_long::MAX)) };
}

/// Where a server looks for the session that a client names: this function has it in DER.
pub(crate) fn set_session_lookup<F>(builder: &mut SslContextBuilder, find: F)
where
    F: Fn(&SslRef, &[u8]) -> Option<Arc<Secret>> + Send + Sync + 'static,
{
    let lookup = move |connection: &mut SslRef, id: &[u8]| {
        let found = contain(|| find(connection, id)).flatten()?;
        let session = SslSession::from_der(found.expose());
        forget_errors();
        session.ok()
    };
    // SAFETY: a session that was just made of its DER belongs to no context yet.
    unsafe { builder.set_get_session_callback(lookup) };
}

/// Has a client's connection offer a session to the server.
#[cfg(test)]
pub(crate) fn offer_session(connection: &mut SslRef, session: &[u8]) {
    let session = SslSession::from_der(session).expect("a session");
    // SAFETY: a session that was just made of its DER belongs to no context yet.
    unsafe { connection.set_session(&session).expect("offered") };
}

/// Has a client's connection ask for records of 512 bytes at most.
#[cfg(test)]
pub(crate) fn ask_for_short_records(connection: &mut SslRef) {
    unsafe extern "C" {
        fn SSL_set_tlsext_max_fragment_length(connection: *mut SSL, mode: u8) -> c_int;
    }
    // SAFETY: a live connection.
    assert_eq!(unsafe { SSL_set_tlsext_max_fragment_length(connection.as_ptr(), 1) }, 1);
}

// ---- Judging what a peer presented ----

/// Sees every handshake message that comes, its header first, before OpenSSL reads it.
pub(crate) type See = fn(&SslRef, &[u8]);

/// Judges the chain that the peer of a connection presented.
///
/// # Errors
/// The reason, as one of OpenSSL's `X509_V_ERR_` numbers, from which OpenSSL makes the alert.
pub(crate) type Judge = fn(&SslRef) -> Result<(), c_int>;

type VerifyCallback = unsafe extern "C" fn(*mut X509_STORE_CTX, *mut c_void) -> c_int;
type MessageCallback = unsafe extern "C" fn(c_int, c_int, c_int, *const c_void, usize, *mut SSL, *mut c_void);

/// `X509_V_ERR_UNSPECIFIED`.
const UNSPECIFIED: c_int = 1;

/// `SSL_CTRL_SET_MSG_CALLBACK_ARG`.
const SET_MESSAGE_ARGUMENT: c_int = 16;

/// `SSL3_RT_HANDSHAKE`.
const HANDSHAKE: c_int = 22;

/// Has every chain judged by this function, which gets to see what was presented byte by byte through the other one. OpenSSL's own
/// store is not asked at all, nor what OpenSSL makes of the certificates.
pub(crate) fn set_judge(builder: &mut SslContextBuilder, see: See, judge: Judge) {
    // SAFETY: the pointer is that of a live context. The arguments are functions, which live for ever.
    unsafe {
        SSL_CTX_set_msg_callback(builder.as_ptr(), Some(message));
        SSL_CTX_ctrl(builder.as_ptr(), SET_MESSAGE_ARGUMENT, 0, see as *mut c_void);
        SSL_CTX_set_cert_verify_callback(builder.as_ptr(), Some(verify), judge as *mut c_void);
    }
}

unsafe extern "C" fn message(
    is_ours: c_int,
    _version: c_int,
    kind: c_int,
    bytes: *const c_void,
    length: usize,
    ssl: *mut SSL,
    see: *mut c_void,
) {
    if is_ours != 0 || kind != HANDSHAKE || bytes.is_null() || ssl.is_null() {
        return;
    }
    // SAFETY: OpenSSL hands over a live connection, that many bytes, and the argument that `set_judge` has given it.
    let (see, ssl, bytes) = unsafe {
        (std::mem::transmute::<*mut c_void, See>(see), SslRef::from_ptr(ssl), std::slice::from_raw_parts(bytes.cast::<u8>(), length))
    };
    // What was not seen is not judged good.
    let _ = catch_unwind(AssertUnwindSafe(|| see(ssl, bytes)));
}

unsafe extern "C" fn verify(store: *mut X509_STORE_CTX, judge: *mut c_void) -> c_int {
    // SAFETY: OpenSSL hands over a live store context and the argument that `set_judge` has given it.
    let (judge, ssl) = unsafe {
        let ssl: *mut SSL = X509_STORE_CTX_get_ex_data(store, openssl_sys::SSL_get_ex_data_X509_STORE_CTX_idx()).cast();
        if ssl.is_null() {
            X509_STORE_CTX_set_error(store, UNSPECIFIED);
            return 0;
        }
        (std::mem::transmute::<*mut c_void, Judge>(judge), SslRef::from_ptr(ssl))
    };
    let judged = catch_unwind(AssertUnwindSafe(|| judge(ssl))).unwrap_or(Err(UNSPECIFIED));
    forget_errors();
    // SAFETY: as above.
    unsafe { X509_STORE_CTX_set_error(store, judged.err().unwrap_or(0)) };
    c_int::from(judged.is_ok())
}

// ---- The provider ----

/// A context for connections whose algorithms all come from our provider.
pub(crate) fn context(method: SslMethod) -> Result<SslContextBuilder, ErrorStack> {
    let library = library()?;
    // SAFETY: a library context that lives for ever, and a method, which is static.
    unsafe {
        let context = SSL_CTX_new_ex(library.0, ptr::null(), method.as_ptr());
        if context.is_null() { Err(ErrorStack::get()) } else { Ok(SslContextBuilder::from_ptr(context)) }
    }
}

/// A cipher of our provider's. What the host has configured for OpenSSL takes none away.
pub(crate) fn cipher(name: &str) -> Result<Cipher, ErrorStack> {
    let library = library()?;
    // SAFETY: a library context that lives for ever.
    Cipher::fetch(Some(unsafe { LibCtxRef::from_ptr(library.0) }), name, None)
}

/// A certificate whose key is our provider's, of its DER.
pub(crate) fn certificate(der: &[u8]) -> Result<X509, ErrorStack> {
    let library = library()?;
    // SAFETY: OpenSSL reads that many bytes, and where it fails it has freed the certificate and forgotten the pointer.
    unsafe {
        let mut certificate = X509_new_ex(library.0, ptr::null());
        let mut at = der.as_ptr();
        if certificate.is_null() || d2i_X509(&raw mut certificate, &raw mut at, long(der.len())).is_null() {
            return Err(ErrorStack::get());
        }
        Ok(X509::from_ptr(certificate))
    }
}

/// A key for OpenSSL whose private half is this function. `point` is the uncompressed public point.
pub(crate) fn signing_key(curve: Curve, point: &[u8], sign: Arc<Sign>) -> Result<PKey<Private>, ErrorStack> {
    let library = library()?;
    // Only `key_import` below reads these eight bytes, and only while this function runs.
    let mut signer = (&raw const sign).expose_provenance().to_ne_bytes();
    let mut point = point.to_vec();
    // SAFETY: the parameters point at buffers that outlive the calls; OpenSSL reads them and `key_import` copies what it keeps.
    unsafe {
        let mut params = [
            OSSL_PARAM_construct_utf8_string(GROUP.as_ptr(), group_name(curve).as_ptr().cast_mut(), 0),
            OSSL_PARAM_construct_octet_string(PUBLIC.as_ptr(), point.as_mut_ptr().cast(), point.len()),
            OSSL_PARAM_construct_octet_string(SIGNER.as_ptr(), signer.as_mut_ptr().cast(), signer.len()),
            OSSL_PARAM_construct_end(),
        ];
        let context = EVP_PKEY_CTX_new_from_name(library.0, EC.as_ptr(), ptr::null());
        if context.is_null() {
            return Err(ErrorStack::get());
        }
        let mut key: *mut EVP_PKEY = ptr::null_mut();
        let made = EVP_PKEY_fromdata_init(context) == 1 && EVP_PKEY_fromdata(context, &raw mut key, ALL, params.as_mut_ptr()) == 1;
        EVP_PKEY_CTX_free(context);
        if !made || key.is_null() {
            return Err(ErrorStack::get());
        }
        forget_errors();
        Ok(PKey::from_ptr(key))
    }
}

/// The library context in which our provider lives, alone. Made once and never freed: keys may outlive whoever asked for them.
struct Library(*mut OSSL_LIB_CTX);

// SAFETY: a library context has locks of its own.
unsafe impl Send for Library {}
// SAFETY: as above.
unsafe impl Sync for Library {}

fn library() -> Result<&'static Library, ErrorStack> {
    static LIBRARY: OnceLock<Library> = OnceLock::new();
    if let Some(library) = LIBRARY.get() {
        return Ok(library);
    }
    openssl::init();
    tables().ok_or_else(ErrorStack::get)?;
    // SAFETY: the provider's name and tables are static.
    let made = unsafe {
        let library = OSSL_LIB_CTX_new();
        let name = c"gatehouse".as_ptr();
        let loads = !library.is_null()
            && OSSL_PROVIDER_add_builtin(library, name, provider) == 1
            && !ptr::eq::<OSSL_PROVIDER>(OSSL_PROVIDER_load(library, name), ptr::null());
        if !loads {
            return Err(ErrorStack::get());
        }
        Library(library)
    };
    Ok(LIBRARY.get_or_init(|| made))
}

const EC: &CStr = c"EC";
const GROUP: &CStr = c"group";
const PUBLIC: &CStr = c"pub";
const ENCODED: &CStr = c"encoded-pub-key";
const SIGNER: &CStr = c"gatehouse-signer";

/// `EVP_PKEY_KEYPAIR`: parameters, public and private key.
const ALL: c_int = 0x87;

/// `OSSL_KEYMGMT_SELECT_PRIVATE_KEY`, `_PUBLIC_KEY` and `_ALL_PARAMETERS`.
const PRIVATE_KEY: c_int = 0x01;
const PUBLIC_KEY: c_int = 0x02;
const PARAMETERS: c_int = 0x84;

/// `OSSL_OP_` numbers: what a provider is asked for.
const DIGEST: c_int = 1;
const CIPHER: c_int = 2;
const MAC: c_int = 3;
const KDF: c_int = 4;
const RANDOM: c_int = 5;
const KEY_MANAGEMENT: c_int = 10;
const KEY_EXCHANGE: c_int = 11;
const SIGNATURE: c_int = 12;
const DECODER: c_int = 21;

/// One row of a provider's table: a number of `openssl/core_dispatch.h` and a function of the type that belongs to it.
#[repr(C)]
struct Dispatch(c_int, *const ());

/// What a provider implements under a name.
#[derive(Clone, Copy)]
#[repr(C)]
struct Algorithm(*const c_char, *const c_char, *const Dispatch, *const c_char);

// SAFETY: the tables are constant, and so is what they point at.
unsafe impl Send for Dispatch {}
// SAFETY: as above.
unsafe impl Sync for Dispatch {}
// SAFETY: as above.
unsafe impl Send for Algorithm {}
// SAFETY: as above.
unsafe impl Sync for Algorithm {}

type ProviderInit = unsafe extern "C" fn(*const c_void, *const Dispatch, *mut *const Dispatch, *mut *mut c_void) -> c_int;
type Callback = unsafe extern "C" fn(*const OSSL_PARAM, *mut c_void) -> c_int;
type BioRead = unsafe extern "C" fn(*mut c_void, *mut c_void, usize, *mut usize) -> c_int;

const END: Dispatch = Dispatch(0, ptr::null());
const NO_MORE: Algorithm = Algorithm(ptr::null(), ptr::null(), ptr::null(), ptr::null());
const PROPERTIES: &CStr = c"provider=gatehouse";
const DECODES: &CStr = c"provider=gatehouse,input=der,structure=SubjectPublicKeyInfo";

/// What our provider has: keys on NIST's curves and the function that makes keys of secrets are our own, and whatever else a handshake takes is OpenSSL's. Nothing that no
/// handshake takes is there, because OpenSSL 3.0 copies the list of everything that there is, twice for each certificate that it reads.
struct Tables {
    base: *mut OSSL_PROVIDER,
    rows: Vec<(c_int, Vec<Algorithm>)>,
}

/// What is OpenSSL's, by its first name: hashes (SHA-1 because OpenSSL tells certificates apart by it, and for nothing else), ciphers,
/// message authentication, derivation of keys, random numbers; and keys of other kinds.
const BORROWED: [(c_int, &[&str]); 9] = [
    (DIGEST, &["SHA1", "SHA2-256", "SHA2-384", "SHA2-512"]),
    (CIPHER, &["AES-128-GCM", "AES-256-GCM", "AES-128-CCM", "AES-256-CCM", "ChaCha20-Poly1305"]),
    (MAC, &["HMAC"]),
    (KDF, &["TLS13-KDF"]),
    (RANDOM, &["CTR-DRBG", "SEED-SRC"]),
    (KEY_MANAGEMENT, &["RSA", "RSA-PSS", "ED25519", "X25519"]),
    (KEY_EXCHANGE, &["X25519"]),
    (SIGNATURE, &["RSA", "ED25519"]),
    (DECODER, &["RSA", "RSA-PSS", "ED25519"]),
];

// SAFETY: OpenSSL's provider has locks of its own.
unsafe impl Send for Tables {}
// SAFETY: as above.
unsafe impl Sync for Tables {}

fn tables() -> Option<&'static Tables> {
    static TABLES: OnceLock<Tables> = OnceLock::new();
    if let Some(tables) = TABLES.get() {
        return Some(tables);
    }
    // SAFETY: a context of its own, so that nobody's configuration of OpenSSL is changed; the provider is never unloaded.
    let base = unsafe {
        let library = OSSL_LIB_CTX_new();
        if library.is_null() { ptr::null_mut() } else { OSSL_PROVIDER_load(library, c"default".as_ptr()) }
    };
    if base.is_null() {
        return None;
    }
    let keys = c"EC:id-ecPublicKey:1.2.840.10045.2.1";
    let own = |operation| {
        let (names, properties, functions): (&CStr, &CStr, &'static [Dispatch]) = match operation {
            KEY_MANAGEMENT => (keys, PROPERTIES, &KEYS),
            KDF => (c"TLS1-PRF", PROPERTIES, &DERIVATIONS),
            KEY_EXCHANGE => (c"ECDH", PROPERTIES, &EXCHANGES),
            SIGNATURE => (c"ECDSA", PROPERTIES, &SIGNATURES),
            DECODER => (keys, DECODES, &DECODERS),
            _ => return None,
        };
        Some(Algorithm(names.as_ptr(), properties.as_ptr(), functions.as_ptr(), ptr::null()))
    };
    let rows = BORROWED.map(|(operation, wanted)| {
        // SAFETY: a live provider.
        let theirs = unsafe { algorithms(base, operation, wanted) };
        (operation, own(operation).into_iter().chain(theirs).chain([NO_MORE]).collect())
    });
    Some(TABLES.get_or_init(|| Tables { base, rows: rows.into() }))
}

/// Of what a provider has for an operation, that with these names. Of the decoders, those of certificates' keys.
///
/// # Safety
/// A live provider.
unsafe fn algorithms(provider: *mut OSSL_PROVIDER, operation: c_int, wanted: &[&str]) -> Vec<Algorithm> {
    let mut found = Vec::new();
    // SAFETY: the answer is null or a constant table that ends with a row without names.
    unsafe {
        let mut no_cache = 0;
        let mut next = OSSL_PROVIDER_query_operation(provider, operation, &raw mut no_cache);
        while let Some(algorithm) = next.as_ref().filter(|algorithm| !algorithm.0.is_null()) {
            let text = |text: *const c_char| if text.is_null() { "" } else { CStr::from_ptr(text).to_str().unwrap_or("") };
            let (names, properties) = (text(algorithm.0), text(algorithm.1));
            let is_named = names.split(':').next().is_some_and(|name| wanted.contains(&name));
            let reads = |what| properties.split(',').any(|property| property == what);
            if is_named && (operation != DECODER || reads("input=der") && reads("structure=SubjectPublicKeyInfo")) {
                found.push(*algorithm);
            }
            next = next.add(1);
        }
    }
    found
}

static PROVIDER: [Dispatch; 3] = [Dispatch(1027, query_operation as *const ()), Dispatch(1030, capabilities as *const ()), END];

static KEYS: [Dispatch; 20] = [
    Dispatch(1, key_new as *const ()),
    Dispatch(2, generation_new as *const ()),
    Dispatch(3, generation_set_template as *const ()),
    Dispatch(4, generation_set_params as *const ()),
    Dispatch(5, generation_settable_params as *const ()),
    Dispatch(6, generate as *const ()),
    Dispatch(7, generation_free as *const ()),
    Dispatch(8, key_load as *const ()),
    Dispatch(10, key_free as *const ()),
    Dispatch(11, key_get_params as *const ()),
    Dispatch(12, key_gettable_params as *const ()),
    Dispatch(13, key_set_params as *const ()),
    Dispatch(14, key_settable_params as *const ()),
    Dispatch(20, key_operation_name as *const ()),
    Dispatch(21, key_has as *const ()),
    Dispatch(23, key_match as *const ()),
    Dispatch(40, key_import as *const ()),
    Dispatch(41, key_import_types as *const ()),
    Dispatch(44, key_duplicate as *const ()),
    END,
];

static EXCHANGES: [Dispatch; 6] = [
    Dispatch(1, exchange_new as *const ()),
    Dispatch(2, exchange_init as *const ()),
    Dispatch(3, exchange_derive as *const ()),
    Dispatch(4, exchange_set_peer as *const ()),
    Dispatch(5, exchange_free as *const ()),
    END,
];

static SIGNATURES: [Dispatch; 8] = [
    Dispatch(1, signature_new as *const ()),
    Dispatch(16, signature_free as *const ()),
    Dispatch(17, signature_duplicate as *const ()),
    Dispatch(8, digest_sign_init as *const ()),
    Dispatch(11, digest_sign as *const ()),
    Dispatch(12, digest_verify_init as *const ()),
    Dispatch(15, digest_verify as *const ()),
    END,
];

static DERIVATIONS: [Dispatch; 4] =
    [Dispatch(1, stateless_new as *const ()), Dispatch(3, stateless_free as *const ()), Dispatch(5, derive as *const ()), END];

static DECODERS: [Dispatch; 5] = [
    Dispatch(1, stateless_new as *const ()),
    Dispatch(2, stateless_free as *const ()),
    Dispatch(10, decoder_does_selection as *const ()),
    Dispatch(11, decode as *const ()),
    END,
];

/// How OpenSSL lets a provider read what a decoder is given.
static BIO_READ: OnceLock<BioRead> = OnceLock::new();

unsafe extern "C" fn provider(
    _core: *const c_void,
    offered: *const Dispatch,
    out: *mut *const Dispatch,
    context: *mut *mut c_void,
) -> c_int {
    const BIO_READ_EX: c_int = 42;
    let Some(tables) = tables() else { return 0 };
    // SAFETY: OpenSSL offers a table that ends with a zero, and both others are places that it wants filled. The functions of
    // OpenSSL's provider get the context that they expect; ours do not look at it.
    unsafe {
        let mut next = offered;
        while let Some(row) = next.as_ref().filter(|row| row.0 != 0) {
            if row.0 == BIO_READ_EX {
                BIO_READ.get_or_init(|| std::mem::transmute::<*const (), BioRead>(row.1));
            }
            next = next.add(1);
        }
        *out = PROVIDER.as_ptr();
        *context = OSSL_PROVIDER_get0_provider_ctx(tables.base);
    }
    c_int::from(BIO_READ.get().is_some())
}

unsafe extern "C" fn query_operation(_context: *mut c_void, operation: c_int, no_cache: *mut c_int) -> *const Algorithm {
    let Some(tables) = tables() else { return ptr::null() };
    // SAFETY: a place that OpenSSL wants filled.
    unsafe { *no_cache = 0 };
    tables.rows.iter().find(|(number, _)| *number == operation).map_or(ptr::null(), |(_, algorithms)| algorithms.as_ptr())
}

/// Which groups there are: OpenSSL drops those whose keys it does not find.
unsafe extern "C" fn capabilities(_context: *mut c_void, name: *const c_char, tell: Callback, argument: *mut c_void) -> c_int {
    // SAFETY: a live provider, and what OpenSSL wants told to whom.
    tables().map_or(0, |tables| unsafe { OSSL_PROVIDER_get_capabilities(tables.base, name, tell, argument) })
}

fn group_name(curve: Curve) -> &'static CStr {
    match curve {
        Curve::P256 => c"prime256v1",
        Curve::P384 => c"secp384r1",
    }
}

/// # Safety
/// A terminated list of parameters.
unsafe fn group(params: *const OSSL_PARAM) -> Option<Curve> {
    // SAFETY: the caller's promise; texts of parameters are terminated.
    unsafe {
        let mut group: *const c_char = ptr::null();
        let found = OSSL_PARAM_locate_const(params, GROUP.as_ptr());
        if found.is_null() || OSSL_PARAM_get_utf8_string_ptr(found, &raw mut group) != 1 || group.is_null() {
            return None;
        }
        match CStr::from_ptr(group).to_bytes() {
            b"prime256v1" | b"P-256" | b"secp256r1" => Some(Curve::P256),
            b"secp384r1" | b"P-384" => Some(Curve::P384),
            _ => None,
        }
    }
}

/// # Safety
/// A terminated list of parameters, whose octets live as long as the answer.
unsafe fn octets<'a>(params: *const OSSL_PARAM, name: &CStr) -> Option<&'a [u8]> {
    // SAFETY: the caller's promise.
    unsafe {
        let found = OSSL_PARAM_locate_const(params, name.as_ptr());
        let (mut octets, mut length): (*const c_void, usize) = (ptr::null(), 0);
        if found.is_null() || OSSL_PARAM_get_octet_string_ptr(found, &raw mut octets, &raw mut length) != 1 || octets.is_null() {
            return None;
        }
        Some(std::slice::from_raw_parts(octets.cast(), length))
    }
}

// ---- Keys; OpenSSL holds a counted reference ----

fn handed_out(key: Key) -> *mut c_void {
    Arc::into_raw(Arc::new(key)).cast_mut().cast()
}

/// # Safety
/// The pointer is null or one that `handed_out` made and that was not freed yet.
unsafe fn key<'a>(key: *const c_void) -> Option<&'a Key> {
    // SAFETY: the caller's promise.
    unsafe { key.cast::<Key>().as_ref() }
}

/// One more reference to a key.
///
/// # Safety
/// As for [`key`].
unsafe fn shared(key: *const c_void) -> Option<Arc<Key>> {
    if key.is_null() {
        return None;
    }
    // SAFETY: the caller's promise.
    unsafe {
        Arc::increment_strong_count(key.cast::<Key>());
        Some(Arc::from_raw(key.cast::<Key>()))
    }
}

unsafe extern "C" fn key_new(_provider: *mut c_void) -> *mut c_void {
    handed_out(Key::default())
}

unsafe extern "C" fn key_free(key: *mut c_void) {
    if !key.is_null() {
        // SAFETY: OpenSSL gives back the reference that `handed_out` made. What is dropped here may be a token's
        // session: its panic must not come out.
        let key = unsafe { Arc::from_raw(key.cast_const().cast::<Key>()) };
        let _ = catch_unwind(AssertUnwindSafe(|| drop(key)));
    }
}

/// Takes over the key that `decode` offers.
unsafe extern "C" fn key_load(reference: *const c_void, size: usize) -> *mut c_void {
    if reference.is_null() || size != size_of::<*mut c_void>() {
        return ptr::null_mut();
    }
    // SAFETY: it is the place in `decode` where the key is, and OpenSSL has said so by its size.
    unsafe { ptr::replace(reference.cast_mut().cast::<*mut c_void>(), ptr::null_mut()) }
}

unsafe extern "C" fn key_get_params(from: *mut c_void, params: *mut OSSL_PARAM) -> c_int {
    // SAFETY: a live key and a terminated list of parameters.
    unsafe {
        let Some((key, curve)) = key(from).and_then(|key| Some((key, key.curve()?))) else { return 0 };
        let number = |number: usize| c_int::try_from(number).unwrap_or(c_int::MAX);
        let numbers = [(c"bits", curve.bits()), (c"security-bits", curve.bits() / 2), (c"max-size", curve.max_signature())];
        for (name, value) in numbers {
            let param = OSSL_PARAM_locate(params, name.as_ptr());
            if !param.is_null() && OSSL_PARAM_set_int(param, number(value)) != 1 {
                return 0;
            }
        }
        for (name, value) in [(GROUP, group_name(curve)), (c"point-format", c"uncompressed")] {
            let param = OSSL_PARAM_locate(params, name.as_ptr());
            if !param.is_null() && OSSL_PARAM_set_utf8_string(param, value.as_ptr()) != 1 {
                return 0;
            }
        }
        let param = OSSL_PARAM_locate(params, ENCODED.as_ptr());
        if !param.is_null() {
            let Some(point) = key.point() else { return 0 };
            return OSSL_PARAM_set_octet_string(param, point.as_ptr().cast(), point.len());
        }
    }
    1
}

unsafe extern "C" fn key_set_params(to: *mut c_void, params: *const OSSL_PARAM) -> c_int {
    // SAFETY: a live key and a terminated list of parameters.
    unsafe {
        let Some(key) = key(to) else { return 0 };
        c_int::from(octets(params, ENCODED).is_none_or(|point| key.set_point(point)))
    }
}

/// A list of the parameters that a key tells or takes. OpenSSL reads names and types only.
#[repr(transparent)]
struct ParamNames<const N: usize>([OSSL_PARAM; N]);

// SAFETY: constant.
unsafe impl<const N: usize> Sync for ParamNames<N> {}

const fn named(key: &'static CStr, data_type: u32) -> OSSL_PARAM {
    OSSL_PARAM { key: key.as_ptr(), data_type, data: ptr::null_mut(), data_size: 0, return_size: 0 }
}

const LAST: OSSL_PARAM = OSSL_PARAM { key: ptr::null(), data_type: 0, data: ptr::null_mut(), data_size: 0, return_size: 0 };

/// `OSSL_PARAM_INTEGER`.
const INTEGER: u32 = 1;
/// `OSSL_PARAM_UTF8_STRING`.
const TEXT: u32 = 4;
/// `OSSL_PARAM_OCTET_STRING`.
const OCTETS: u32 = 5;

static TOLD: ParamNames<7> = ParamNames([
    named(c"bits", INTEGER),
    named(c"security-bits", INTEGER),
    named(c"max-size", INTEGER),
    named(GROUP, TEXT),
    named(c"point-format", TEXT),
    named(ENCODED, OCTETS),
    LAST,
]);
static CHANGED: ParamNames<2> = ParamNames([named(ENCODED, OCTETS), LAST]);
static CHOSEN: ParamNames<2> = ParamNames([named(GROUP, TEXT), LAST]);
static TAKEN: ParamNames<4> = ParamNames([named(GROUP, TEXT), named(PUBLIC, OCTETS), named(SIGNER, OCTETS), LAST]);

unsafe extern "C" fn key_gettable_params(_provider: *mut c_void) -> *const OSSL_PARAM {
    TOLD.0.as_ptr()
}

unsafe extern "C" fn key_settable_params(_provider: *mut c_void) -> *const OSSL_PARAM {
    CHANGED.0.as_ptr()
}

unsafe extern "C" fn key_import_types(_selection: c_int) -> *const OSSL_PARAM {
    TAKEN.0.as_ptr()
}

unsafe extern "C" fn key_operation_name(operation: c_int) -> *const c_char {
    match operation {
        KEY_EXCHANGE => c"ECDH".as_ptr(),
        SIGNATURE => c"ECDSA".as_ptr(),
        _ => ptr::null(),
    }
}

unsafe extern "C" fn key_has(of: *const c_void, selection: c_int) -> c_int {
    // SAFETY: a live key.
    let Some(key) = (unsafe { key(of) }) else { return 0 };
    let has = [(PRIVATE_KEY, key.has_private()), (PUBLIC_KEY, key.point().is_some()), (PARAMETERS, key.curve().is_some())];
    c_int::from(has.iter().all(|(wanted, has)| selection & wanted == 0 || *has))
}

unsafe extern "C" fn key_match(one: *const c_void, other: *const c_void, selection: c_int) -> c_int {
    // SAFETY: live keys.
    let (Some(one), Some(other)) = (unsafe { (key(one), key(other)) }) else { return 0 };
    let with_point = selection & (PUBLIC_KEY | PRIVATE_KEY) != 0;
    c_int::from(if with_point { one.equals(other) } else { one.is_on_curve_of(other) })
}

unsafe extern "C" fn key_import(to: *mut c_void, _selection: c_int, params: *const OSSL_PARAM) -> c_int {
    // SAFETY: a live key and a terminated list of parameters, whose texts and octets live as long as the call. The signer is
    // the address of an `Arc` that `signing_key` borrows: nobody else's parameters have that name.
    unsafe {
        let (Some(key), Some(curve), Some(point)) = (key(to), group(params), octets(params, PUBLIC)) else { return 0 };
        let sign = octets(params, SIGNER).and_then(|address| {
            let address = usize::from_ne_bytes(address.try_into().ok()?);
            Some(Arc::clone(ptr::with_exposed_provenance::<Arc<Sign>>(address).as_ref()?))
        });
        c_int::from(key.fill(curve, point, sign))
    }
}

unsafe extern "C" fn key_duplicate(from: *const c_void, selection: c_int) -> *mut c_void {
    // SAFETY: a live key.
    let copy = unsafe { key(from) }.filter(|_| selection & PRIVATE_KEY == 0).and_then(|key| key.public_copy(selection & PUBLIC_KEY != 0));
    copy.map_or(ptr::null_mut(), handed_out)
}

/// What the next key is to be.
struct Generation {
    curve: Option<Curve>,
    is_pair: bool,
}

unsafe extern "C" fn generation_new(_provider: *mut c_void, selection: c_int, params: *const OSSL_PARAM) -> *mut c_void {
    // SAFETY: null or a terminated list of parameters.
    let curve = if params.is_null() { None } else { unsafe { group(params) } };
    Box::into_raw(Box::new(Generation { curve, is_pair: selection & (PRIVATE_KEY | PUBLIC_KEY) != 0 })).cast()
}

unsafe extern "C" fn generation_free(generation: *mut c_void) {
    if !generation.is_null() {
        // SAFETY: OpenSSL gives back what `generation_new` handed out.
        drop(unsafe { Box::from_raw(generation.cast::<Generation>()) });
    }
}

unsafe extern "C" fn generation_set_template(generation: *mut c_void, like: *mut c_void) -> c_int {
    // SAFETY: a live generation and a live key.
    let (Some(generation), Some(like)) = (unsafe { (generation.cast::<Generation>().as_mut(), key(like)) }) else { return 0 };
    generation.curve = like.curve();
    c_int::from(generation.curve.is_some())
}

unsafe extern "C" fn generation_set_params(generation: *mut c_void, params: *const OSSL_PARAM) -> c_int {
    // SAFETY: a live generation, and null or a terminated list of parameters.
    unsafe {
        let Some(generation) = generation.cast::<Generation>().as_mut() else { return 0 };
        if params.is_null() || OSSL_PARAM_locate_const(params, GROUP.as_ptr()).is_null() {
            return 1;
        }
        generation.curve = group(params);
        c_int::from(generation.curve.is_some())
    }
}

unsafe extern "C" fn generation_settable_params(_generation: *mut c_void, _provider: *mut c_void) -> *const OSSL_PARAM {
    CHOSEN.0.as_ptr()
}

unsafe extern "C" fn generate(generation: *mut c_void, _tell: *const c_void, _argument: *mut c_void) -> *mut c_void {
    // SAFETY: a live generation.
    let Some(generation) = (unsafe { generation.cast::<Generation>().as_ref() }) else { return ptr::null_mut() };
    let made = generation.curve.and_then(|curve| if generation.is_pair { Key::generate(curve) } else { Some(Key::on(curve)) });
    made.map_or(ptr::null_mut(), handed_out)
}

// ---- Keys of certificates ----

/// What keeps nothing has an address nevertheless, because OpenSSL wants one.
static NO_STATE: u8 = 0;

unsafe extern "C" fn stateless_new(_provider: *mut c_void) -> *mut c_void {
    (&raw const NO_STATE).cast_mut().cast()
}

unsafe extern "C" fn stateless_free(_nothing: *mut c_void) {}

unsafe extern "C" fn decoder_does_selection(_provider: *mut c_void, selection: c_int) -> c_int {
    c_int::from(selection == 0 || selection & PUBLIC_KEY != 0)
}

/// Offers the key that it reads. What is no key of ours may be another decoder's.
unsafe extern "C" fn decode(
    _decoder: *mut c_void,
    input: *mut c_void,
    _selection: c_int,
    offer: Callback,
    argument: *mut c_void,
    _ask: *const c_void,
    _asked: *mut c_void,
) -> c_int {
    /// `OSSL_OBJECT_PKEY`.
    const PKEY: c_int = 2;
    let Some(read) = BIO_READ.get() else { return 0 };
    // A longer one than that of P-384 is not ours.
    let mut buffer = [0_u8; 128];
    let mut length = 0;
    // SAFETY: OpenSSL's input, and a buffer of that length.
    let done = unsafe { read(input, buffer.as_mut_ptr().cast(), buffer.len(), &raw mut length) };
    let Some(found) = buffer.get(..length).filter(|_| done == 1).and_then(Key::from_spki) else { return 1 };
    let (mut kind, mut key) = (PKEY, handed_out(found));
    // SAFETY: the parameters point at places that outlive the call. `key_load` takes the key out of its place; else it is still ours.
    unsafe {
        let params = [
            OSSL_PARAM_construct_int(c"type".as_ptr(), &raw mut kind),
            OSSL_PARAM_construct_utf8_string(c"data-type".as_ptr(), EC.as_ptr().cast_mut(), 0),
            OSSL_PARAM_construct_octet_string(c"reference".as_ptr(), (&raw mut key).cast(), size_of::<*mut c_void>()),
            OSSL_PARAM_construct_end(),
        ];
        let taken = offer(params.as_ptr(), argument);
        key_free(ptr::read_volatile(&raw const key));
        taken
    }
}

// ---- Keys of secrets ----

/// The pseudorandom function of TLS 1.2. OpenSSL gives everything in one call; the seed comes in parts of the same name.
unsafe extern "C" fn derive(_nothing: *mut c_void, out: *mut c_uchar, length: usize, params: *const OSSL_PARAM) -> c_int {
    if out.is_null() || params.is_null() {
        return 0;
    }
    let (mut hash, mut secret, mut seed) = (None, None, Vec::with_capacity(128));
    // SAFETY: a list that ends with a parameter without a name, whose texts are terminated and whose octets are that many and live as
    // long as the call.
    unsafe {
        let mut next = params;
        while let Some(param) = next.as_ref().filter(|param| !param.key.is_null()) {
            let octets = || {
                let is_some = param.data_type == OCTETS && !param.data.is_null();
                if is_some { std::slice::from_raw_parts(param.data.cast::<u8>(), param.data_size) } else { &[] }
            };
            match CStr::from_ptr(param.key).to_bytes() {
                b"digest" if param.data_type == TEXT && !param.data.is_null() => {
                    hash = Hash::named(CStr::from_ptr(param.data.cast()).to_bytes());
                }
                b"secret" => secret = Some(octets()),
                b"seed" => seed.extend_from_slice(octets()),
                _ => {}
            }
            next = next.add(1);
        }
    }
    let (Some(hash), Some(secret)) = (hash, secret) else { return 0 };
    // SAFETY: OpenSSL's place for so many bytes.
    let out = unsafe {
        ptr::write_bytes(out, 0, length);
        std::slice::from_raw_parts_mut(out, length)
    };
    c_int::from(catch_unwind(AssertUnwindSafe(|| prf::expand(hash.hmac(), secret, &seed, out))).is_ok())
}

// ---- Agreements ----

/// One agreement in the making.
#[derive(Default)]
struct Exchange {
    own: Option<Arc<Key>>,
    peer: Option<Arc<Key>>,
}

unsafe extern "C" fn exchange_new(_provider: *mut c_void) -> *mut c_void {
    Box::into_raw(Box::new(Exchange::default())).cast()
}

unsafe extern "C" fn exchange_free(exchange: *mut c_void) {
    if !exchange.is_null() {
        // SAFETY: OpenSSL gives back what `exchange_new` handed out.
        let exchange = unsafe { Box::from_raw(exchange.cast::<Exchange>()) };
        let _ = catch_unwind(AssertUnwindSafe(|| drop(exchange)));
    }
}

unsafe extern "C" fn exchange_init(exchange: *mut c_void, own: *mut c_void, _params: *const OSSL_PARAM) -> c_int {
    // SAFETY: a live exchange and a live key.
    let (Some(exchange), own) = (unsafe { (exchange.cast::<Exchange>().as_mut(), shared(own)) }) else { return 0 };
    exchange.own = own;
    c_int::from(exchange.own.is_some())
}

unsafe extern "C" fn exchange_set_peer(exchange: *mut c_void, peer: *mut c_void) -> c_int {
    // SAFETY: a live exchange and a live key.
    let (Some(exchange), peer) = (unsafe { (exchange.cast::<Exchange>().as_mut(), shared(peer)) }) else { return 0 };
    exchange.peer = peer;
    c_int::from(exchange.peer.is_some())
}

unsafe extern "C" fn exchange_derive(exchange: *mut c_void, out: *mut c_uchar, length: *mut usize, room: usize) -> c_int {
    // SAFETY: a live exchange.
    let Some(exchange) = (unsafe { exchange.cast::<Exchange>().as_ref() }) else { return 0 };
    let (Some(own), Some(peer)) = (&exchange.own, &exchange.peer) else { return 0 };
    let Some(width) = own.curve().map(Curve::width) else { return 0 };
    if out.is_null() {
        // SAFETY: a place that OpenSSL wants filled.
        unsafe { *length = width };
        return 1;
    }
    let write = |secret: &[u8]| {
        if secret.len() > room {
            return 0;
        }
        // SAFETY: `out` has room for `room` bytes.
        unsafe {
            ptr::copy_nonoverlapping(secret.as_ptr(), out, secret.len());
            *length = secret.len();
        }
        1
    };
    catch_unwind(AssertUnwindSafe(|| own.agree(peer, write))).ok().flatten().unwrap_or(0)
}

// ---- Signatures ----

/// One signature in the making, or in the checking.
#[derive(Clone, Default)]
struct Signature {
    key: Option<Arc<Key>>,
    hash: Option<Hash>,
}

unsafe extern "C" fn signature_new(_provider: *mut c_void, _properties: *const c_char) -> *mut c_void {
    Box::into_raw(Box::new(Signature::default())).cast()
}

unsafe extern "C" fn signature_free(signature: *mut c_void) {
    if !signature.is_null() {
        // SAFETY: OpenSSL gives back what `signature_new` or `signature_duplicate` handed out.
        let signature = unsafe { Box::from_raw(signature.cast::<Signature>()) };
        let _ = catch_unwind(AssertUnwindSafe(|| drop(signature)));
    }
}

unsafe extern "C" fn signature_duplicate(signature: *mut c_void) -> *mut c_void {
    // SAFETY: a live signature.
    match unsafe { signature.cast::<Signature>().as_ref() } {
        Some(signature) => Box::into_raw(Box::new(signature.clone())).cast(),
        None => ptr::null_mut(),
    }
}

/// Takes the key and the hash. Whether they fit together is for who signs or verifies.
///
/// # Safety
/// A live signature, null or a terminated name, and null or a live key.
unsafe fn begin<'a>(signature: *mut c_void, hash: *const c_char, key: *mut c_void) -> Option<&'a Signature> {
    // SAFETY: the caller's promise.
    unsafe {
        let signature = signature.cast::<Signature>().as_mut()?;
        if let Some(key) = shared(key) {
            signature.key = Some(key);
        }
        if !hash.is_null() {
            signature.hash = Some(Hash::named(CStr::from_ptr(hash).to_bytes())?);
        }
        Some(signature)
    }
}

unsafe extern "C" fn digest_sign_init(signature: *mut c_void, hash: *const c_char, key: *mut c_void, _params: *const OSSL_PARAM) -> c_int {
    // SAFETY: what OpenSSL hands over is what `begin` wants.
    let signature = unsafe { begin(signature, hash, key) };
    let curve = signature.and_then(|signature| signature.key.as_ref()?.curve());
    // The function hashes by itself, and always with the same hash.
    let fits = |curve: Curve| signature.is_some_and(|signature| signature.hash.is_none_or(|hash| hash == curve.hash()));
    c_int::from(curve.is_some_and(fits))
}

unsafe extern "C" fn digest_verify_init(
    signature: *mut c_void,
    hash: *const c_char,
    key: *mut c_void,
    _params: *const OSSL_PARAM,
) -> c_int {
    // SAFETY: what OpenSSL hands over is what `begin` wants.
    let signature = unsafe { begin(signature, hash, key) };
    c_int::from(signature.is_some_and(|signature| signature.key.is_some() && signature.hash.is_some()))
}

unsafe extern "C" fn digest_sign(
    signature: *mut c_void,
    out: *mut c_uchar,
    length: *mut usize,
    room: usize,
    message: *const c_uchar,
    message_length: usize,
) -> c_int {
    // SAFETY: a live signature.
    let signature = unsafe { signature.cast::<Signature>().as_ref() };
    let Some(key) = signature.and_then(|signature| signature.key.as_ref()) else { return 0 };
    if out.is_null() {
        let Some(longest) = key.curve().map(Curve::max_signature) else { return 0 };
        // SAFETY: a place that OpenSSL wants filled.
        unsafe { *length = longest };
        return 1;
    }
    if message.is_null() {
        return 0;
    }
    // SAFETY: OpenSSL's message of that length.
    let message = unsafe { std::slice::from_raw_parts(message, message_length) };
    match catch_unwind(AssertUnwindSafe(|| key.sign(message))) {
        Ok(Some(made)) if made.len() <= room => {
            // SAFETY: `out` has room for `room` bytes.
            unsafe {
                ptr::copy_nonoverlapping(made.as_ptr(), out, made.len());
                *length = made.len();
            }
            1
        }
        _ => 0,
    }
}

unsafe extern "C" fn digest_verify(
    signature: *mut c_void,
    made: *const c_uchar,
    made_length: usize,
    message: *const c_uchar,
    message_length: usize,
) -> c_int {
    // SAFETY: a live signature.
    let signature = unsafe { signature.cast::<Signature>().as_ref() };
    let Some((key, hash)) = signature.and_then(|signature| signature.key.as_ref().zip(signature.hash)) else { return 0 };
    if made.is_null() || message.is_null() {
        return 0;
    }
    // SAFETY: OpenSSL's signature and message of these lengths.
    let (made, message) = unsafe { (std::slice::from_raw_parts(made, made_length), std::slice::from_raw_parts(message, message_length)) };
    c_int::from(catch_unwind(AssertUnwindSafe(|| key.verify(hash, message, made))).unwrap_or(false))
}

#[cfg(test)]
mod tests {
    use super::*;
    use gatehouse_pki::{KeyAlgorithm, Signer, SoftwareKey};
    use openssl::{hash::MessageDigest, sign};

    fn hidden(algorithm: KeyAlgorithm) -> (PKey<Private>, Arc<SoftwareKey>) {
        let key = Arc::new(SoftwareKey::generate(algorithm).expect("a key"));
        let (curve, width) = if algorithm == KeyAlgorithm::P256 { (Curve::P256, 65) } else { (Curve::P384, 97) };
        let spki = key.public_key().spki_der();
        let signer = Arc::clone(&key);
        let made = signing_key(curve, &spki[spki.len() - width..], Arc::new(move |message: &[u8]| signer.sign(message).ok()));
        (made.expect("a key for OpenSSL"), key)
    }

    #[test]
    fn openssl_signs_with_a_key_that_it_does_not_see() {
        for (algorithm, hash) in [(KeyAlgorithm::P256, MessageDigest::sha256()), (KeyAlgorithm::P384, MessageDigest::sha384())] {
            let (hidden, key) = hidden(algorithm);
            let mut signer = sign::Signer::new(hash, &hidden).expect("a signer");
            let signature = signer.sign_oneshot_to_vec(b"message").expect("signed");
            key.public_key().verify(key.signature_algorithm(), b"message", &signature).expect("its signature");
        }
    }

    #[test]
    fn a_hash_that_the_key_does_not_sign_with_is_refused() {
        let (hidden, _) = hidden(KeyAlgorithm::P256);
        assert!(sign::Signer::new(MessageDigest::sha384(), &hidden).is_err());
        assert!(ErrorStack::get().errors().is_empty());
    }

    #[test]
    fn a_hidden_key_equals_its_own_public_half_and_no_other() {
        let (hidden, key) = hidden(KeyAlgorithm::P256);
        let public = |key: &SoftwareKey| PKey::public_key_from_der(key.public_key().spki_der()).expect("a public key");
        assert!(public(&key).public_eq(&hidden));
        let other = SoftwareKey::generate(KeyAlgorithm::P256).expect("a key");
        assert!(!public(&other).public_eq(&hidden));
        forget_errors();
    }

    #[test]
    fn a_signer_that_panics_or_refuses_fails_the_signature_only() {
        let (_, key) = hidden(KeyAlgorithm::P256);
        let spki = key.public_key().spki_der();
        let point = &spki[spki.len() - 65..];
        let panics: Arc<Sign> = Arc::new(|_: &[u8]| panic!("the token was pulled out"));
        let refuses: Arc<Sign> = Arc::new(|_: &[u8]| None);
        for sign in [panics, refuses] {
            let hidden = signing_key(Curve::P256, point, sign).expect("a key for OpenSSL");
            let mut signer = sign::Signer::new(MessageDigest::sha256(), &hidden).expect("a signer");
            assert!(signer.sign_oneshot_to_vec(b"message").is_err());
        }
    }

    #[test]
    fn ciphers_are_those_of_our_provider_and_no_others() {
        for name in ["AES-128-CCM", "AES-256-CCM"] {
            assert!(cipher(name).is_ok(), "{name}");
        }
        assert!(cipher("AES-128-CBC").is_err(), "OpenSSL has it, and no handshake of ours");
    }

    #[test]
    fn the_last_reference_to_the_signer_goes_with_the_key() {
        let (hidden, key) = hidden(KeyAlgorithm::P256);
        let signer = sign::Signer::new(MessageDigest::sha256(), &hidden).expect("a signer");
        assert_eq!(Arc::strong_count(&key), 2);
        drop(hidden);
        assert_eq!(Arc::strong_count(&key), 2, "the signature still needs it");
        drop(signer);
        assert_eq!(Arc::strong_count(&key), 1);
    }
}
