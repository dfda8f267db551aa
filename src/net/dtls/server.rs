//! The server's end of DTLS: contexts, cookies and sessions of a listener, and the engine of each of its sockets.

use super::{
    association::{DtlsAssociation, Pipe},
    cookie::{Brought, Cookies},
    record,
    sessions::Sessions,
};
use crate::{
    CertificateSource, ClientJudge, DatagramGate,
    clients::Clients,
    live::Live,
    openssl::{ContextError, ServerContexts, Transport, ffi, found, judge_again},
    udp::{
        engine::{Class, Engine, Meeting},
        meter::Meter,
    },
};
use bytes::Bytes;
use gatehouse_base::Clock;
use gatehouse_types::{Random, Secret};
use openssl::{
    error::ErrorStack,
    ex_data::Index,
    ssl::{Ssl, SslContextBuilder, SslOptions, SslRef, SslSessionCacheMode, SslStream, SslVersion},
};
use std::{
    fmt,
    net::SocketAddr,
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

/// How a listener speaks DTLS 1.2: only with clients whose chain the judge finds good, and with suites that have a
/// key agreement of their own and authenticate what they encrypt.
pub struct Dtls {
    contexts: Arc<ServerContexts>,
    cookies: Arc<Cookies>,
    sessions: Arc<Sessions>,
    /// The peers that were let in.
    live: Arc<Live>,
    mtu: u32,
    retransmit_after: Duration,
}

impl Dtls {
    /// Presents the source's certificate, which must be ECDSA's on P-256 or P-384, and answers these application protocols where
    /// they are offered. The listener's name keeps its sessions apart from others'. Limits are those of the gate.
    pub fn new(
        listener: &str,
        gate: &DatagramGate,
        source: Arc<dyn CertificateSource>,
        alpn: &[&[u8]],
        judge: Arc<dyn ClientJudge>,
        clock: Arc<dyn Clock>,
        random: &dyn Random,
    ) -> Self {
        let config = &gate.config;
        let cookies = Arc::new(Cookies::new(random, Instant::now()));
        let meter = Meter::new(listener.into());
        let sessions = Arc::new(Sessions::new(config.sessions, config.session_lifetime, Arc::clone(&clock), meter));
        let clients = Clients { judge, clock };
        let live = Live::new(clients.clone());
        let (checking, kept) = (Arc::clone(&cookies), Arc::clone(&sessions));
        let contexts = ServerContexts::new(Transport::Datagrams, listener, source, Some(clients), alpn)
            .adjusted(move |builder| adjust(builder, &checking, &kept));
        // The configuration allows no more than 9000.
        let mtu = u32::try_from(config.mtu).unwrap_or(1200);
        Self { contexts: Arc::new(contexts), cookies, sessions, live, mtu, retransmit_after: config.retransmit_after }
    }

    pub(crate) fn source(&self) -> Arc<dyn CertificateSource> {
        self.contexts.source()
    }

    pub(crate) fn live(&self) -> Arc<Live> {
        Arc::clone(&self.live)
    }

    /// An engine for one socket.
    pub(crate) fn engine(&self) -> DtlsEngine {
        let (contexts, cookies, sessions) = (Arc::clone(&self.contexts), Arc::clone(&self.cookies), Arc::clone(&self.sessions));
        DtlsEngine { contexts, cookies, sessions, mtu: self.mtu, retransmit_after: self.retransmit_after, spare: None }
    }
}

impl fmt::Debug for Dtls {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Dtls({:?})", self.contexts)
    }
}

/// Meets the clients of one socket.
pub(crate) struct DtlsEngine {
    contexts: Arc<ServerContexts>,
    cookies: Arc<Cookies>,
    sessions: Arc<Sessions>,
    mtu: u32,
    retransmit_after: Duration,
    /// Looks at hellos with a good cookie until OpenSSL agrees that one is a hello, and then becomes an association.
    spare: Option<SslStream<Pipe>>,
}

/// Whose hello the spare connection looks at, and when.
#[derive(Clone, Copy)]
struct Caller {
    from: SocketAddr,
    now: Instant,
}

impl DtlsEngine {
    /// A connection that presents the certificate of this moment.
    fn spare(&mut self) -> Result<SslStream<Pipe>, ContextError> {
        if let Some(spare) = self.spare.take()
            && self.contexts.is_current(spare.ssl())
        {
            return Ok(spare);
        }
        let mut ssl = self.contexts.connection()?;
        ssl.set_mtu(self.mtu)?;
        ssl.set_accept_state();
        ffi::set_first_timeout(&mut ssl, self.retransmit_after)?;
        Ok(SslStream::new(ssl, Pipe::default())?)
    }
}

impl Engine for DtlsEngine {
    type Association = DtlsAssociation;

    // Three flights that got lost in sequence.
    const PATIENCE: Duration = Duration::from_secs(7);

    fn class(&self, datagram: &[u8]) -> Class {
        record::class(datagram)
    }

    fn takes_time(&self, now: Instant, from: SocketAddr, datagram: &[u8]) -> bool {
        matches!(record::class(datagram), Class::Hello(_)) && self.cookies.brought(from, now, datagram) == Brought::Cookie
    }

    fn meet(&mut self, now: Instant, from: SocketAddr, datagram: &[u8]) -> Meeting<DtlsAssociation> {
        if !matches!(record::class(datagram), Class::Hello(_)) {
            return Meeting::Ignored;
        }
        match self.cookies.brought(from, now, datagram) {
            Brought::Nonsense => return Meeting::Ignored,
            Brought::Nothing => return self.cookies.challenge(from, now, datagram).map_or(Meeting::Ignored, Meeting::Answered),
            Brought::Cookie => {}
        }
        // Without a certificate to present there is nobody to talk to; whoever keeps the source has said so.
        let (Ok(mut spare), Ok(index)) = (self.spare(), caller()) else { return Meeting::Ignored };
        ffi::connection(&mut spare).set_ex_data(index, Caller { from, now });
        spare.get_mut().incoming = Some(Bytes::copy_from_slice(datagram));
        if ffi::listen(&mut spare) {
            return Meeting::Begun(DtlsAssociation::accepted(spare, self.mtu as usize, now, Arc::clone(&self.sessions)));
        }
        let pipe = spare.get_mut();
        pipe.incoming = None;
        pipe.outgoing.clear();
        self.spare = Some(spare);
        Meeting::Ignored
    }
}

fn adjust(builder: &mut SslContextBuilder, cookies: &Arc<Cookies>, sessions: &Arc<Sessions>) -> Result<(), ErrorStack> {
    // Cookies are another thing in DTLS 1.3, which an OpenSSL of the future will have.
    builder.set_max_proto_version(Some(SslVersion::DTLS1_2))?;
    builder.set_options(SslOptions::COOKIE_EXCHANGE | SslOptions::NO_QUERY_MTU);
    let checking = Arc::clone(cookies);
    builder.set_cookie_verify_cb(move |ssl, cookie| {
        let is_good = || caller_of(ssl).is_some_and(|caller| checking.check(caller.from, caller.now, cookie));
        ffi::contain(is_good).unwrap_or(false)
    });
    // OpenSSL's own cache would give sessions out without a question.
    if !sessions.keeps_any() {
        return Ok(());
    }
    builder.set_session_cache_mode(SslSessionCacheMode::SERVER | SslSessionCacheMode::NO_INTERNAL);
    ffi::set_session_lifetime(builder, sessions.lifetime());
    let keeping = Arc::clone(sessions);
    builder.set_new_session_callback(move |ssl, session| {
        // One that is not kept costs its device a full handshake.
        let _ = ffi::contain(|| {
            if let (Some(chain), Ok(state)) = (found(ssl), session.to_der()) {
                keeping.keep(session.id(), Secret::new(state), chain);
            }
        });
    });
    let finding = Arc::clone(sessions);
    ffi::set_session_lookup(builder, move |ssl, id| finding.take_up(id, |chain| judge_again(ssl, chain)));
    // OpenSSL has nothing forgotten: it would be at the word of anybody who sends a fatal alert before there are keys. What failed under
    // keys is forgotten by the association.
    Ok(())
}

fn caller_of(ssl: &SslRef) -> Option<Caller> {
    ssl.ex_data(caller().ok()?).copied()
}

fn caller() -> Result<Index<Ssl, Caller>, ErrorStack> {
    static INDEX: OnceLock<Index<Ssl, Caller>> = OnceLock::new();
    if let Some(index) = INDEX.get() {
        return Ok(*index);
    }
    let made = Ssl::new_ex_index()?;
    Ok(*INDEX.get_or_init(|| made))
}
