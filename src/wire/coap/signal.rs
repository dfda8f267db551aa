//! What the two ends of a reliable connection say to each other (RFC 8323 §5).
//!
//! The options of a signal have numbers of their own, counted anew for each code, so that they never pass through the
//! functions of [`Options`] that know what numbers mean.

use super::{Code, Message, OptionNumber, Options, OptionsBuilder, Token, options::uint};
use bytes::Bytes;

/// A signal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signal {
    /// Capabilities and settings, the first message of each end.
    Csm(Csm),
    /// Are you there? The answer carries its token.
    Ping {
        /// Answer only when everything before was processed (RFC 8323 §5.4.1).
        custody: bool,
    },
    /// I am.
    Pong {
        /// Everything before the ping was processed.
        custody: bool,
    },
    /// I shall close when the open requests are answered.
    Release(Release),
    /// I close now.
    Abort(Abort),
}

/// What an end can do (RFC 8323 §5.3). What is absent leaves what was said before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Csm {
    /// The longest message that it takes; [`Csm::BASE_MESSAGE_SIZE`] as long as it has not said so.
    pub max_message_size: Option<u32>,
    /// Whether it does block-wise transfer; together with a message size above 1152, BERT too (RFC 8323 §6).
    pub block_wise: bool,
}

/// An orderly end (RFC 8323 §5.5).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Release {
    /// Where to connect instead.
    pub alternative_addresses: Vec<String>,
    /// How many seconds to wait before connecting again.
    pub hold_off: Option<u32>,
}

/// A sudden end (RFC 8323 §5.6).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Abort {
    /// The critical option of the other end's CSM that was not understood.
    pub bad_csm_option: Option<OptionNumber>,
    /// What happened, for people.
    pub diagnostic: String,
}

/// Why a message of class 7 cannot be obeyed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignalError {
    /// A code that is no signal, or one that is not registered.
    #[error("{0} is no known signal")]
    Code(Code),
    /// RFC 8323 §5.3: a critical option that is not known. The connection is aborted; where it stood in a CSM, its number
    /// is told.
    #[error("the signal {code} has the unknown critical option {number}")]
    CriticalOption {
        /// The signal.
        code: Code,
        /// The number, in the signal's own space.
        number: u16,
    },
}

impl Signal {
    /// Reads a message of class 7.
    pub fn from_message(message: &Message) -> Result<Self, SignalError> {
        let (code, options) = (message.code, Known { code: message.code, options: &message.options });
        match code {
            Code::CSM => {
                let known = options.read([MAX_MESSAGE_SIZE, BLOCK_WISE])?;
                Ok(Self::Csm(Csm { max_message_size: known.uint(MAX_MESSAGE_SIZE, 4), block_wise: known.flag(BLOCK_WISE) }))
            }
            Code::PING => Ok(Self::Ping { custody: options.read([CUSTODY])?.flag(CUSTODY) }),
            Code::PONG => Ok(Self::Pong { custody: options.read([CUSTODY])?.flag(CUSTODY) }),
            Code::RELEASE => {
                let known = options.read([ALTERNATIVE_ADDRESS, HOLD_OFF])?;
                Ok(Self::Release(Release { alternative_addresses: known.texts(ALTERNATIVE_ADDRESS), hold_off: known.uint(HOLD_OFF, 3) }))
            }
            Code::ABORT => {
                let bad = options.read([BAD_CSM_OPTION])?.uint(BAD_CSM_OPTION, 2);
                let bad_csm_option = bad.and_then(|number| u16::try_from(number).ok()).map(OptionNumber);
                Ok(Self::Abort(Abort { bad_csm_option, diagnostic: diagnostic(&message.payload) }))
            }
            other => Err(SignalError::Code(other)),
        }
    }

    /// The message that says it. Some devices need seven bytes at least, which any token of five brings.
    pub fn to_message(&self, token: Token) -> Message {
        let options = Options::builder();
        let (code, options, payload) = match self {
            Self::Csm(csm) => {
                let options = match csm.max_message_size {
                    Some(size) => options.uint(OptionNumber(MAX_MESSAGE_SIZE), size),
                    None => options,
                };
                (Code::CSM, flag(options, BLOCK_WISE, csm.block_wise), Bytes::new())
            }
            Self::Ping { custody } => (Code::PING, flag(options, CUSTODY, *custody), Bytes::new()),
            Self::Pong { custody } => (Code::PONG, flag(options, CUSTODY, *custody), Bytes::new()),
            Self::Release(release) => {
                let fits = release.alternative_addresses.iter().filter(|address| (1..=MAX_ADDRESS).contains(&address.len()));
                let options = fits.fold(options, |options, address| options.with(OptionNumber(ALTERNATIVE_ADDRESS), address.as_bytes()));
                let options = match release.hold_off {
                    Some(seconds) => options.uint(OptionNumber(HOLD_OFF), seconds.min(0xff_ffff)),
                    None => options,
                };
                (Code::RELEASE, options, Bytes::new())
            }
            Self::Abort(abort) => {
                let options = match abort.bad_csm_option {
                    Some(number) => options.uint(OptionNumber(BAD_CSM_OPTION), u32::from(number.0)),
                    None => options,
                };
                (Code::ABORT, options, Bytes::copy_from_slice(abort.diagnostic.as_bytes()))
            }
        };
        Message { code, token, options: options.build(), payload }
    }
}

impl Csm {
    /// What everybody takes who has not said more (RFC 8323 §5.3.1).
    pub const BASE_MESSAGE_SIZE: u32 = 1152;
}

fn flag(options: OptionsBuilder, number: u16, set: bool) -> OptionsBuilder {
    if set { options.empty(OptionNumber(number)) } else { options }
}

fn diagnostic(payload: &[u8]) -> String {
    let shown = payload.get(..MAX_DIAGNOSTIC).unwrap_or(payload);
    String::from_utf8_lossy(shown).into_owned()
}

/// The options of one signal.
#[derive(Clone, Copy)]
struct Known<'a> {
    code: Code,
    options: &'a Options,
}

impl<'a> Known<'a> {
    /// Refuses critical options except those that are known.
    fn read<const N: usize>(self, known: [u16; N]) -> Result<Self, SignalError> {
        let unknown = self.options.iter().find(|(number, _)| number.is_critical() && !known.contains(&number.0));
        unknown.map_or(Ok(self), |(number, _)| Err(SignalError::CriticalOption { code: self.code, number: number.0 }))
    }

    /// RFC 7252 §5.4.3, §5.4.5: the first counts, and one of a wrong length is as good as absent.
    fn value(self, number: u16, longest: usize) -> Option<&'a [u8]> {
        let first = self.options.iter().find(|(found, _)| found.0 == number).map(|(_, value)| value);
        first.filter(|value| value.len() <= longest)
    }

    fn uint(self, number: u16, longest: usize) -> Option<u32> {
        self.value(number, longest).and_then(uint)
    }

    fn flag(self, number: u16) -> bool {
        self.value(number, 0).is_some()
    }

    fn texts(self, number: u16) -> Vec<String> {
        let values = self.options.iter().filter(|(found, value)| found.0 == number && (1..=MAX_ADDRESS).contains(&value.len()));
        values.filter_map(|(_, value)| std::str::from_utf8(value).ok().map(str::to_owned)).collect()
    }
}

// RFC 8323 §5.3 to §5.6: the numbers of each signal.
const MAX_MESSAGE_SIZE: u16 = 2;
const BLOCK_WISE: u16 = 4;
const CUSTODY: u16 = 2;
const ALTERNATIVE_ADDRESS: u16 = 2;
const HOLD_OFF: u16 = 4;
const BAD_CSM_OPTION: u16 = 2;
/// The longest value of Alternative-Address.
const MAX_ADDRESS: usize = 255;
/// How much of what an abort says is kept.
const MAX_DIAGNOSTIC: usize = 1024;

#[cfg(test)]
mod tests;
