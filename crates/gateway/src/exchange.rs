//! Requests of one connection, and their answers.
//!
//! Owns the server's side of HTTP/1, what is asked of each request in which order, and what a connection turns into after its last.
//! Does not own where a connection leads (`connection`), what is asked of admission (`judge`) or how a request is passed on
//! (`forward`).

use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::header::{CONNECTION, EXPECT};
use http::{HeaderValue, Request, Response, Version};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::{TokioIo, TokioTimer};
use policy::Endpoint;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;

use crate::body::Answer;
use crate::bounds::Bounds;
use crate::carriage::Asker;
use crate::connection::Carrier;
use crate::consult::Question;
use crate::dial::Outside;
use crate::flow::Flow;
use crate::meter::Passage;
use crate::record::Recording;
use crate::refusal::Refusal;
use crate::target::{self, Door, Target};
use crate::upstream::Line;
use crate::wire::Wire;
use crate::{forward, head, login};

/// What a connection turns into after its last request.
pub(crate) enum Next {
    /// Bytes, to the place that was connected to.
    Tunnel { inside: OnUpgrade, outside: Box<Outside>, passage: Passage },
    /// Requests to one place, which rules or credentials make us look at.
    Requests { inside: OnUpgrade, to: Endpoint },
    /// Messages of a WebSocket.
    WebSocket {
        inside: OnUpgrade,
        outside: OnUpgrade,
        line: Line,
        passage: Passage,
        /// Where it is a model that is talked to.
        question: Option<Box<(Question, Flow)>>,
        /// Where it is recorded, if anywhere.
        recording: Option<Recording>,
    },
}

/// Answers requests until the connection ends or turns into something else.
pub(crate) async fn requests<S>(
    carrier: &Arc<Carrier>,
    stream: S,
    wire: &Wire,
    (door, asker): (Door, Option<Asker>),
) -> Option<Next>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let bounds = &carrier.judge.bounds;
    let exchange = Arc::new(Exchange::new(carrier, wire, door, asker));
    let service = service_fn(|request| {
        let exchange = Arc::clone(&exchange);
        async move { Ok::<_, Infallible>(exchange.answer(request).await) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(bounds.head)
        .max_buf_size(bounds.head_bytes)
        .max_headers(bounds.headers)
        .auto_date_header(false)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades()
        .await;
    match served {
        Ok(()) => exchange.next.lock().unwrap_or_else(PoisonError::into_inner).take(),
        Err(error) => {
            if error.is_parse() {
                carrier.judge.unreadable(&error);
            }
            None
        }
    }
}

/// Where the requests of a connection are answered.
pub(crate) struct Exchange {
    pub(crate) carrier: Arc<Carrier>,
    pub(crate) wire: Wire,
    door: Door,
    /// Who asks, where that is known.
    asker: Option<Asker>,
    next: Mutex<Option<Next>>,
}

impl Exchange {
    pub(crate) fn new(carrier: &Arc<Carrier>, wire: &Wire, door: Door, asker: Option<Asker>) -> Exchange {
        Exchange { carrier: Arc::clone(carrier), wire: wire.clone(), door, asker, next: Mutex::default() }
    }

    pub(crate) async fn answer(&self, mut request: Request<Incoming>) -> Response<Answer> {
        let target = self.target(&request);
        let two = request.version() == Version::HTTP_2;
        let upgrade = hyper::upgrade::on(&mut request);
        let (head, body) = request.into_parts();
        let announced = head.headers.contains_key(EXPECT);
        let mut body = Some(body);
        let answer = match target {
            Ok(Target::Tunnel(flow)) => self.tunnel(flow, upgrade).await,
            Ok(Target::Request(flow)) => match login::answer(self, &flow, &head, &mut body).await {
                Some(answer) => answer,
                None => forward::request(self, flow, head, &mut body, upgrade).await,
            },
            Ok(Target::Inside(path)) => self.inside(path, body.take()).await,
            Err(refusal) => {
                // Where one message was misread, the next may begin anywhere.
                let mut response = refusal.response();
                if !two {
                    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                }
                return response.map(Answer::Own);
            }
        };
        match answer {
            Ok(response) => response,
            Err(refusal) => {
                // Who waits to be told to go on with the body hears the refusal instead.
                if let Some(body) = body.filter(|_| !announced) {
                    hear_out(body, &self.carrier.judge.bounds).await;
                }
                refusal.response().map(Answer::Own)
            }
        }
    }

    fn target(&self, request: &Request<Incoming>) -> Result<Target, Refusal> {
        let many = request.headers().len() > self.carrier.judge.bounds.headers;
        let odd = head::ambiguous(request.method(), request.headers())
            .or_else(|| many.then_some("it has too many headers"));
        let read = match odd {
            Some(why) => Err(Refusal::malformed(why, "send a request that can be read in one way only")),
            None => target::read(request, &self.door),
        };
        let read = read.map(|target| match target {
            Target::Tunnel(flow) => Target::Tunnel(Flow { asker: self.asker, ..flow }),
            Target::Request(flow) => Target::Request(Flow { asker: self.asker, ..flow }),
            inside @ Target::Inside(_) => inside,
        });
        read.inspect_err(|refusal| self.carrier.judge.malformed(request.method(), request.uri(), refusal))
    }

    async fn inside(&self, path: String, body: Option<Incoming>) -> Result<Response<Answer>, Refusal> {
        let body = body.ok_or_else(|| Refusal::malformed("it has no body", "send one"))?;
        let answer = self.carrier.inside.answer(path, body, &self.carrier.judge.bounds).await;
        Ok(answer.map(Answer::Own))
    }

    /// CONNECT: the connection is there before its asker hears of it.
    async fn tunnel(&self, flow: Flow, inside: OnUpgrade) -> Result<Response<Answer>, Refusal> {
        let judge = &self.carrier.judge;
        self.turn_into(match judge.tunnel(&flow, &self.wire).await? {
            None => Next::Requests { inside, to: flow.endpoint },
            Some(right) => {
                let (outside, passage) = judge.reach(&flow, right).await?;
                Next::Tunnel { inside, outside: Box::new(outside), passage }
            }
        });
        Ok(Response::new(Answer::Own(Full::default())))
    }

    /// Says what the connection turns into once this request is answered.
    pub(crate) fn turn_into(&self, next: Next) {
        *self.next.lock().unwrap_or_else(PoisonError::into_inner) = Some(next);
    }
}

/// Lets whoever is refused finish, within limits: who is cut off while speaking does not hear the answer.
async fn hear_out(mut body: Incoming, bounds: &Bounds) {
    let mut left = bounds.refused_bytes;
    let all = async {
        while let Some(Ok(frame)) = body.frame().await {
            let length = frame.data_ref().map_or(0, Bytes::len);
            if length > left {
                return;
            }
            left -= length;
        }
    };
    // Whoever takes longer is cut off.
    let _ = timeout(bounds.refused, all).await;
}
