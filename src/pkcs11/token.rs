//! A token in a module: found by its label, logged in, and found again after it was away.

use crate::{
    encoding,
    error::TokenError,
    key::TokenKey,
    pool::{Pool, Seat},
};
use cryptoki::{
    context::{CInitializeArgs, CInitializeFlags, Pkcs11},
    error::{Error, RvError},
    mechanism::Mechanism,
    object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle},
    session::{Session, UserType},
    slot::Slot,
    types::AuthPin,
};
use gatehouse_pki::{KeyAlgorithm, PublicKey};
use gatehouse_types::Secret;
use std::{
    fmt,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

/// Where a token is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenLocation {
    /// The vendor's shared library.
    pub module: PathBuf,
    /// The label that the token was initialised with. Slots change their numbers; labels stay.
    pub label: String,
}

/// A token that we are logged in to. Copies share their sessions.
#[derive(Clone)]
pub struct Token(Arc<Inner>);

struct Inner {
    location: TokenLocation,
    module: Pkcs11,
    pin: Secret,
    /// Set by the first refusal, and never taken back: tokens count wrong PINs and lock themselves.
    pin_refused: AtomicBool,
    pool: Pool,
}

impl Token {
    /// Loads the module, finds the token and logs in, to use at most so many sessions at a time.
    pub fn open(location: TokenLocation, pin: Secret, sessions: NonZeroUsize) -> Result<Self, TokenError> {
        let module = load(&location.module)?;
        let inner = Inner { location, module, pin, pin_refused: AtomicBool::new(false), pool: Pool::new(sessions) };
        let token = Self(Arc::new(inner));
        token.with_session(|_| Ok(()))?;
        Ok(token)
    }

    /// The key with this label.
    pub fn key(&self, label: &str) -> Result<TokenKey, TokenError> {
        let public = self.with_session(|seat| {
            private_key(seat.session(), label)?;
            public_key(seat.session(), label)
        })?;
        TokenKey::new(self.clone(), label.to_owned(), public)
    }

    /// Makes a new key pair in the token. The private half can be used there and never be read, by us or anybody.
    pub fn generate(&self, label: &str, algorithm: KeyAlgorithm) -> Result<TokenKey, TokenError> {
        let parameters = encoding::curve_parameters(algorithm).ok_or(TokenError::Algorithm(algorithm))?;
        self.with_session(|seat| {
            let session = seat.session();
            let class = |class| [Attribute::Class(class), Attribute::Label(label.as_bytes().to_vec())];
            for class in [class(ObjectClass::PRIVATE_KEY), class(ObjectClass::PUBLIC_KEY)] {
                if !session.find_objects(&class).map_err(TokenError::sort)?.is_empty() {
                    return Err(TokenError::KeyExists { label: label.to_owned() });
                }
            }
            let id = session.generate_random_vec(16).map_err(TokenError::sort)?;
            let common = [Attribute::Token(true), Attribute::Label(label.as_bytes().to_vec()), Attribute::Id(id)];
            let public = [Attribute::Private(false), Attribute::Verify(true), Attribute::EcParams(parameters.to_vec())];
            let private = [
                Attribute::Private(true),
                Attribute::Sensitive(true),
                Attribute::Extractable(false),
                Attribute::Sign(true),
                Attribute::Decrypt(false),
                Attribute::Unwrap(false),
                Attribute::Derive(false),
            ];
            let (public, private) = ([&common[..], &public].concat(), [&common[..], &private].concat());
            session.generate_key_pair(&Mechanism::EccKeyPairGen, &public, &private).map_err(TokenError::sort)?;
            Ok(())
        })?;
        self.key(label)
    }

    /// Does something in a session. When sessions or login turn out to be lost, everything is opened again and it is done once more.
    pub(crate) fn with_session<T>(&self, work: impl Fn(&mut Seat) -> Result<T, TokenError>) -> Result<T, TokenError> {
        match self.attempt(&work) {
            // Without a login private keys are not refused, they are not there.
            Err(TokenError::Away(_) | TokenError::NoKey { .. }) => {
                self.0.pool.forget();
                self.attempt(&work)
            }
            outcome => outcome,
        }
    }

    fn attempt<T>(&self, work: &impl Fn(&mut Seat) -> Result<T, TokenError>) -> Result<T, TokenError> {
        let mut seat = self.0.pool.take(|| self.0.open_session())?;
        let outcome = work(&mut seat);
        // A session that failed may be in the middle of something; it is closed instead of being used again.
        if outcome.is_ok() {
            seat.give_back();
        }
        outcome
    }
}

impl Inner {
    fn open_session(&self) -> Result<Session, TokenError> {
        if self.pin_refused.load(Ordering::Acquire) {
            return Err(TokenError::Pin);
        }
        // Another user of the same module may have shut it down.
        initialize(&self.module).map_err(TokenError::sort)?;
        let slot = self.slot()?;
        let session = self.module.open_rw_session(slot).map_err(TokenError::sort)?;
        let text = str::from_utf8(self.pin.expose()).map_err(|_| TokenError::PinText)?;
        match session.login(UserType::User, Some(&AuthPin::from(text))) {
            // One login counts for all sessions of the process.
            Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => Ok(session),
            Err(error) => {
                let error = TokenError::sort(error);
                self.pin_refused.fetch_or(matches!(error, TokenError::Pin), Ordering::AcqRel);
                Err(error)
            }
        }
    }

    fn slot(&self) -> Result<Slot, TokenError> {
        let label = &self.location.label;
        let mut found = None;
        for slot in self.module.get_slots_with_token().map_err(TokenError::sort)? {
            // A token that is pulled out right now is not the one.
            let is_it = self.module.get_token_info(slot).is_ok_and(|info| info.label() == label);
            if is_it && found.replace(slot).is_some() {
                return Err(TokenError::SeveralTokens { label: label.clone() });
            }
        }
        found.ok_or_else(|| TokenError::NoToken { label: label.clone() })
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Token({:?} in {})", self.0.location.label, self.0.location.module.display())
    }
}

/// The handle of the one private key with the label.
pub(crate) fn private_key(session: &Session, label: &str) -> Result<ObjectHandle, TokenError> {
    one(session, label, ObjectClass::PRIVATE_KEY)
}

fn public_key(session: &Session, label: &str) -> Result<PublicKey, TokenError> {
    let handle = one(session, label, ObjectClass::PUBLIC_KEY)?;
    let attributes = session.get_attributes(handle, &[AttributeType::EcParams, AttributeType::EcPoint]).map_err(TokenError::sort)?;
    let (mut parameters, mut point) = (Vec::new(), Vec::new());
    for attribute in attributes {
        match attribute {
            Attribute::EcParams(value) => parameters = value,
            Attribute::EcPoint(value) => point = value,
            _ => {}
        }
    }
    let spki = encoding::spki(&parameters, &point).ok_or_else(|| TokenError::KeyKind { label: label.to_owned() })?;
    PublicKey::from_spki_der(&spki).map_err(|cause| TokenError::PublicKey { label: label.to_owned(), cause })
}

fn one(session: &Session, label: &str, class: ObjectClass) -> Result<ObjectHandle, TokenError> {
    let wanted = [Attribute::Class(class), Attribute::KeyType(KeyType::EC), Attribute::Label(label.as_bytes().to_vec())];
    match session.find_objects(&wanted).map_err(TokenError::sort)?.as_slice() {
        [handle] => Ok(*handle),
        [] => Err(TokenError::NoKey { label: label.to_owned() }),
        _ => Err(TokenError::KeyExists { label: label.to_owned() }),
    }
}

/// A module is initialised once in a process, whoever uses it, and stays until the process ends.
fn load(path: &Path) -> Result<Pkcs11, TokenError> {
    static LOADED: Mutex<Vec<(PathBuf, Pkcs11)>> = Mutex::new(Vec::new());
    let failed = |cause| TokenError::Module { path: path.to_owned(), cause };
    let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, module)) = loaded.iter().find(|(known, _)| known == path) {
        return Ok(module.clone());
    }
    let module = Pkcs11::new(path).map_err(failed)?;
    initialize(&module).map_err(failed)?;
    loaded.push((path.to_owned(), module.clone()));
    Ok(module)
}

fn initialize(module: &Pkcs11) -> Result<(), Error> {
    match module.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
        Ok(()) | Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => Ok(()),
        Err(error) => Err(error),
    }
}
