//! One connection to a mail server, from its greeting to our goodbye, and the letters that go over it.
//!
//! Which letters those are is decided in [`smtp`](super). After a refusal the server is told to forget what was begun, so that the next letter
//! begins anew; a connection on which that does not work is left.

use super::{Config, Stage, told, too_slow, wire};
use crate::{
    carrier::{Blame, Envelope, NotCarried},
    counters,
};
use gatehouse_types::Secret;
use lettre::transport::smtp::{
    Error as SmtpError,
    authentication::{Credentials, Mechanism},
    client::AsyncSmtpConnection,
    commands::{Data, Mail, Rcpt, Rset},
    extension::{ClientId, Extension, MailBodyParameter, MailParameter},
};
use std::time::Duration;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// How long a server may take to say goodbye, once it has the letters.
const GOODBYE: Duration = Duration::from_secs(1);
/// A letter is several questions and answers; each step that the library does not bound by itself is within this many time-outs.
const STEPS: u32 = 3;

/// A server that has let us in.
pub(super) struct Conversation {
    connection: AsyncSmtpConnection,
    letters: u32,
}

/// How the attempt to hand a letter over ended.
pub(super) enum Said {
    /// The server has it.
    Taken,
    /// It has not, and says so about this letter.
    Refused(NotCarried),
    /// It has not, and that may be about the connection: it took letters before, and began nothing with this one.
    NotHere(NotCarried),
}

impl Conversation {
    pub(super) async fn begin(config: &Config, tls: &TlsConnector, name: &ClientId) -> Result<Self, NotCarried> {
        let patience = config.timeout;
        let stream = timeout(patience, wire::open(config, tls, name)).await.map_err(|_| too_slow("to let us in"))??;
        let connected = timeout(patience, AsyncSmtpConnection::connect_with_transport(stream, name)).await;
        let mut connection = connected.map_err(|_| too_slow("to greet us"))?.map_err(|error| told(&error, Stage::Greeting))?;
        if let Some((user, password)) = &config.credentials {
            let credentials = Credentials::new(user.clone(), String::from_utf8_lossy(password.expose()).into_owned());
            let shown = timeout(patience, connection.auth(&[Mechanism::Plain, Mechanism::Login], &credentials)).await;
            shown.map_err(|_| too_slow("to know us"))?.map_err(|error| told(&error, Stage::Authentication))?;
        }
        counters::connected();
        Ok(Self { connection, letters: 0 })
    }

    /// How many letters it has carried.
    pub(super) fn letters(&self) -> u32 {
        self.letters
    }

    /// Hands a letter over. The conversation comes back where the next letter may go over it as well.
    pub(super) async fn carry(mut self, patience: Duration, envelope: &Envelope, letter: &Secret) -> (Said, Option<Self>) {
        let Ok(said) = timeout(patience * STEPS, self.converse(envelope, letter)).await else {
            return (Said::Refused(too_slow("to take a letter")), None);
        };
        match said {
            Ok(()) => {
                self.letters += 1;
                (Said::Taken, Some(self))
            }
            Err(Refusal { stage, why }) => {
                // A server that counts the letters of a connection says so when the next one begins, or hangs up.
                let broken = matches!(why.reason, "connection" | "protocol");
                let unheard = stage == Stage::Sender || (stage == Stage::Letter && broken);
                if self.letters > 0 && unheard {
                    return (Said::NotHere(why), None);
                }
                let left = match why.blame {
                    Blame::Server => None,
                    Blame::Letter | Blame::Moment => self.forgotten(patience).await,
                };
                (Said::Refused(why), left)
            }
        }
    }

    /// Whether it says goodbye changes nothing.
    pub(super) async fn end(mut self) {
        let _ = timeout(GOODBYE, self.connection.quit()).await;
    }

    /// RFC 5321 §4.1.1.5: what was begun is forgotten.
    async fn forgotten(mut self, patience: Duration) -> Option<Self> {
        let forgotten = timeout(patience, self.connection.command(Rset)).await;
        forgotten.is_ok_and(|said| said.is_ok()).then_some(self)
    }

    async fn converse(&mut self, envelope: &Envelope, letter: &Secret) -> Result<(), Refusal> {
        let mut parameters = Vec::new();
        let can = |extension| self.connection.server_info().supports_feature(extension);
        if !envelope.to.as_str().is_ascii() || !envelope.from.as_str().is_ascii() {
            if !can(Extension::SmtpUtfEight) {
                let text = "the mail server takes no addresses beyond ASCII (SMTPUTF8)";
                return Err(Refusal { stage: Stage::Letter, why: NotCarried::new(Blame::Letter, "refusal", text) });
            }
            parameters.push(MailParameter::SmtpUtfEight);
        }
        if !letter.expose().is_ascii() {
            parameters.push(MailParameter::Body(MailBodyParameter::EightBitMime));
        }
        let at = |stage| move |error: SmtpError| Refusal { stage, why: told(&error, stage) };
        let mail = Mail::new(Some(envelope.from.address()), parameters);
        self.connection.command(mail).await.map_err(at(Stage::Sender))?;
        let recipient = Rcpt::new(envelope.to.address(), Vec::new());
        self.connection.command(recipient).await.map_err(at(Stage::Letter))?;
        self.connection.command(Data).await.map_err(at(Stage::Letter))?;
        self.connection.message(letter.expose()).await.map_err(at(Stage::Content))?;
        Ok(())
    }
}

struct Refusal {
    stage: Stage,
    why: NotCarried,
}
