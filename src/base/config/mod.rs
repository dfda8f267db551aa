//! Reading configuration, with every mistake reported at once.
//!
//! Each part of the product owns a `Config` and says in [`Configure::read`] which keys it has, of which type, with
//! which default. The root composes them, and [`load`] reads one TOML file under overrides from the environment
//! (`GATEHOUSE__SECTION__KEY`). What nobody asked for is a mistake, so that a misspelt key cannot silently leave a
//! default in place. Serde would stop at the first mistake and does not know where it is, so this reads the parsed
//! document itself: each mistake has its file, line and column, its key, what was expected, and a suggestion.
//!
//! Secrets do not stand in the file: [`Section::secret`] takes them from a file that only the owner can read, or from
//! the environment.
//!
//! ```
//! use gatehouse_base::config::{Configure, Section, Sources, load};
//! use std::{net::SocketAddr, time::Duration};
//!
//! struct Config {
//!     address: SocketAddr,
//!     patience: Duration,
//! }
//!
//! impl Configure for Config {
//!     fn read(from: &mut Section<'_>) -> Option<Self> {
//!         let address = from.required("address");
//!         let patience = from.or("patience", Duration::from_secs(30));
//!         Some(Self { address: address?, patience })
//!     }
//! }
//!
//! let sources = Sources::text("gatehouse.toml", "address = '127.0.0.1:1'\npatients = '5s'");
//! let mistakes = load::<Config>(&sources).err().expect("a misspelt key");
//! assert!(mistakes.to_string().contains("gatehouse.toml:2:1: `patients` is not a key here; did you mean `patience`?"));
//! ```

mod mistake;
mod section;
mod source;
mod suggest;
mod units;
mod value;

pub use mistake::{Mistake, Mistakes, Origin};
pub use section::{Remark, Section, Setting};
pub use source::{ENVIRONMENT_PREFIX, Sources};
pub use suggest::nearest;
pub use units::{Size, parse_duration, show_duration};
pub use value::{Choice, Value};

use std::cell::RefCell;
use toml::de::DeTable;

/// A part's configuration, which knows its own keys.
pub trait Configure: Sized {
    /// Reads the section. `None` when a required value is missing or wrong; the mistake is recorded already. Ask for
    /// every key before giving up, or the keys that were not asked for are reported as unknown.
    fn read(from: &mut Section<'_>) -> Option<Self>;
}

/// A configuration without mistakes.
#[derive(Debug)]
pub struct Loaded<T> {
    /// The configuration.
    pub config: T,
    /// What is allowed but worth a thought.
    pub remarks: Vec<Remark>,
    /// Every value that is in force, and where it comes from.
    pub settings: Vec<Setting>,
}

/// Reads the whole configuration.
///
/// # Errors
/// Every mistake that is in the sources, in the order of the file.
pub fn load<T: Configure>(sources: &Sources) -> Result<Loaded<T>, Mistakes> {
    let (document, errors) = DeTable::parse_recoverable(&sources.text);
    let state = RefCell::new(section::State::default());
    for error in &errors {
        let origin = sources.origin(error.span().unwrap_or_default().start);
        state.borrow_mut().mistakes.push(Mistake {
            origin,
            key: String::new(),
            problem: format!("this is not TOML: {}", error.message()),
            suggestion: None,
        });
    }
    // What a broken document still holds says little about missing or unknown keys.
    if !errors.is_empty() {
        return Err(Mistakes::new(state.into_inner().mistakes));
    }
    let config = section::read_root::<T>(sources, &state, document.get_ref());
    let mut state = state.into_inner();
    state.unused_environment(sources);
    match config {
        Some(config) if state.mistakes.is_empty() => Ok(Loaded { config, remarks: state.remarks, settings: state.settings }),
        _ => Err(Mistakes::new(state.mistakes)),
    }
}

#[cfg(test)]
mod tests;
