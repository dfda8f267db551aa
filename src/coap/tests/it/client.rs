//! A client over TCP or TLS: a stream and an endpoint.

use bytes::BytesMut;
use gatehouse_base::SystemRandom;
use gatehouse_wire::coap::{
    Code, Message, Options,
    endpoint::{Closed, Config, Endpoint, Event, Request, RequestId},
};
use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
};

pub(crate) struct Client<S = TcpStream> {
    stream: S,
    pub(crate) endpoint: Endpoint,
    arrived: BytesMut,
    events: VecDeque<Event>,
    /// Whether the stream ended as it should.
    ended: Option<bool>,
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect(address).await.unwrap()).await
    }

    pub(crate) fn local_address(&self) -> SocketAddr {
        self.stream.local_addr().unwrap()
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    pub(crate) async fn over(mut stream: S) -> Self {
        let mut endpoint = Endpoint::tcp(Arc::new(Config::default()), Arc::new(SystemRandom), now());
        let mut arrived = BytesMut::new();
        // What the server can take, it says first.
        while endpoint.counters().received == 0 {
            assert_ne!(stream.read_buf(&mut arrived).await.unwrap(), 0);
            endpoint.handle_bytes(now(), &mut arrived);
        }
        Self { stream, endpoint, arrived, events: VecDeque::new(), ended: None }
    }

    /// The next event. `None` when the server has closed the connection.
    pub(crate) async fn next(&mut self) -> Option<Event> {
        loop {
            self.send().await;
            self.events.extend(std::iter::from_fn(|| self.endpoint.poll_event()));
            if let Some(event) = self.events.pop_front() {
                return Some(event);
            }
            let deadline = self.endpoint.poll_timeout().unwrap_or_else(|| now() + Duration::from_secs(3600));
            tokio::select! {
                read = self.stream.read_buf(&mut self.arrived) => match read {
                    Ok(0) | Err(_) => {
                        self.ended = Some(read.is_ok());
                        return None;
                    }
                    Ok(_) => self.endpoint.handle_bytes(now(), &mut self.arrived),
                },
                () = tokio::time::sleep_until(deadline.into()) => self.endpoint.handle_timeout(now()),
            }
        }
    }

    /// Sends what the endpoint has to say.
    pub(crate) async fn send(&mut self) {
        while let Some(item) = self.endpoint.poll_transmit(now()) {
            // A server that has closed the connection is seen when reading.
            let _ = self.stream.write_all(&item).await;
            let _ = self.stream.flush().await;
        }
    }

    pub(crate) fn begin(&mut self, request: Request) -> RequestId {
        self.endpoint.request(now(), request).unwrap()
    }

    /// The answer to a request. Other events are left out.
    pub(crate) async fn answer(&mut self, asked: RequestId) -> Message {
        loop {
            match self.next().await.expect("the connection goes on") {
                Event::Response { request, message, .. } if request == asked => return message,
                Event::Failed { request, why } if request == asked => panic!("{why}"),
                _ => {}
            }
        }
    }

    pub(crate) async fn ask(&mut self, request: Request) -> Message {
        let asked = self.begin(request);
        self.answer(asked).await
    }

    pub(crate) async fn get(&mut self, path: &str) -> Message {
        self.ask(get(path)).await
    }

    /// Goes on until the connection has ended, and tells how.
    pub(crate) async fn end(&mut self) -> Option<Closed> {
        let mut how = None;
        while let Some(event) = self.next().await {
            match event {
                Event::Closed { why } => return Some(why),
                Event::PeerReleased(_) => how = Some(Closed::Released),
                _ => {}
            }
        }
        how
    }

    /// Whether the server says that the stream is at its end, and does not just cut it off.
    pub(crate) async fn good_bye(&mut self) -> bool {
        while self.ended.is_none() {
            self.next().await;
        }
        self.ended == Some(true)
    }
}

pub(crate) fn get(path: &str) -> Request {
    Request::new(Code::GET).options(Options::builder().path(path).unwrap().build())
}

pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
