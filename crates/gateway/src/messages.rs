//! A WebSocket to a model, message by message: each question is judged before any of it leaves, each answer is read beside.
//!
//! Owns the passing on of messages and what ends it. Does not own frames (tungstenite), the judgement (`consult`), or the
//! handshake, which has been made when this begins.

use futures_util::{Sink, SinkExt as _, StreamExt as _};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{sleep, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::bounds::Bounds;
use crate::caps::Way;
use crate::consult::Question;
use crate::flow::Flow;
use crate::judge::Judge;
use crate::meter::End;
use crate::models::Tap;
use crate::record::Recording;
use crate::refusal::Refusal;
use crate::wire::Wire;

/// A conversation with a model.
pub(crate) struct Conversation<'a> {
    pub(crate) judge: &'a Judge,
    pub(crate) flow: &'a Flow,
    pub(crate) question: &'a Question,
    pub(crate) wire: &'a Wire,
    /// Where it is recorded, if anywhere.
    pub(crate) recording: Option<Recording>,
}

/// What a message leads to.
enum Step {
    On,
    Over(End),
}

impl Conversation<'_> {
    /// Passes messages on until one end is done, breaks off or is stopped.
    pub(crate) async fn carry<I, O>(&self, inside: I, outside: O) -> End
    where
        I: AsyncRead + AsyncWrite + Unpin,
        O: AsyncRead + AsyncWrite + Unpin,
    {
        let bounds = &self.judge.bounds;
        let config = config(bounds);
        let inside = WebSocketStream::from_raw_socket(inside, Role::Server, Some(config)).await;
        let outside = WebSocketStream::from_raw_socket(outside, Role::Client, Some(config)).await;
        let ((mut to_inside, mut from_inside), (mut to_outside, mut from_outside)) =
            (inside.split(), outside.split());
        // ORDER: an answer is read by the tap of the question before it; there is one at a time.
        let mut tap: Option<Tap> = None;
        let over = sleep(bounds.total);
        tokio::pin!(over);
        loop {
            let step = tokio::select! {
                biased;
                said = from_outside.next() => self.answered(said, &mut tap, &mut to_inside).await,
                said = from_inside.next() => {
                    self.asked(said, &mut tap, (&mut to_inside, &mut to_outside)).await
                }
                () = sleep(bounds.idle) => Step::Over(End::Idle),
                () = &mut over => Step::Over(End::Limit),
            };
            if let Step::Over(end) = step {
                // Whoever does not listen any more needs no goodbye.
                let goodbye = async { (to_inside.close().await, to_outside.close().await) };
                let _ = timeout(bounds.refused, goodbye).await;
                return end;
            }
        }
    }

    async fn asked<I, O>(
        &self,
        said: Option<Result<Message, Error>>,
        tap: &mut Option<Tap>,
        (to_inside, to_outside): (&mut I, &mut O),
    ) -> Step
    where
        I: Sink<Message, Error = Error> + Unpin,
        O: Sink<Message, Error = Error> + Unpin,
    {
        let message = match said {
            Some(Ok(message)) => message,
            Some(Err(_)) => return Step::Over(End::Reset),
            None => return Step::Over(End::Closed),
        };
        match &message {
            Message::Text(text) => match self.may(text.as_bytes()).await {
                Ok(next) => *tap = next.or(tap.take()),
                Err(refusal) => return self.stop(&refusal.for_a_model(), to_inside).await,
            },
            // Models are asked in text.
            Message::Binary(_) => {
                return self.stop("a message to a model that is no text cannot be read", to_inside).await;
            }
            // The answer to a ping is given by who got it.
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => return Step::On,
            Message::Close(_) => {}
        }
        if self.unrecorded(Way::Up, &message).await {
            return Step::Over(End::Unrecorded);
        }
        self.pass(message, to_outside).await
    }

    async fn answered<I>(
        &self,
        said: Option<Result<Message, Error>>,
        tap: &mut Option<Tap>,
        to_inside: &mut I,
    ) -> Step
    where
        I: Sink<Message, Error = Error> + Unpin,
    {
        let message = match said {
            Some(Ok(message)) => message,
            Some(Err(_)) => return Step::Over(End::Reset),
            None => return Step::Over(End::Closed),
        };
        if let (Message::Text(text), Some(listening)) = (&message, tap.as_mut()) {
            if let Some(exceeded) = listening.message(text.as_bytes()) {
                return self.stop(&exceeded.says(), to_inside).await;
            }
            if listening.is_over() {
                *tap = None;
            }
        }
        match message {
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => Step::On,
            other if self.unrecorded(Way::Down, &other).await => Step::Over(End::Unrecorded),
            other => self.pass(other, to_inside).await,
        }
    }

    /// Whether a message should be recorded and cannot be.
    async fn unrecorded(&self, way: Way, message: &Message) -> bool {
        let Some(recording) = &self.recording else { return false };
        let (opcode, payload) = match message {
            Message::Text(text) => (1, text.as_bytes().to_vec()),
            Message::Binary(bytes) => (2, bytes.to_vec()),
            Message::Close(frame) => (8, frame.as_ref().map(closing).unwrap_or_default()),
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => return false,
        };
        let payload = self.judge.credentials.kept_out(&payload);
        recording.message(way, opcode, payload.into()).await.is_err()
    }

    /// May this be asked? With what reads the answer, where there will be one.
    async fn may(&self, text: &[u8]) -> Result<Option<Tap>, Refusal> {
        let asked = self.judge.judged(self.flow, self.question.whose(), text, self.wire).await?;
        Ok(asked.begins.then(|| self.question.tap_of(&asked)))
    }

    async fn pass<S: Sink<Message, Error = Error> + Unpin>(&self, message: Message, to: &mut S) -> Step {
        let closes = message.is_close();
        match timeout(self.judge.bounds.idle, to.send(message)).await {
            Ok(Ok(())) if closes => Step::Over(End::Closed),
            Ok(Ok(())) => Step::On,
            Ok(Err(_)) => Step::Over(End::Reset),
            Err(_) => Step::Over(End::Idle),
        }
    }

    /// Tells the inside why it ends, in the words of the API.
    async fn stop<I>(&self, why: &str, to_inside: &mut I) -> Step
    where
        I: Sink<Message, Error = Error> + Unpin,
    {
        let last = self.question.api().failed(why).to_string();
        // Whether or not it can be recorded, it ends here.
        let _ = self.unrecorded(Way::Down, &Message::text(last.clone())).await;
        let frame = CloseFrame { code: CloseCode::Policy, reason: "".into() };
        let told = async {
            to_inside.send(Message::text(last)).await?;
            to_inside.send(Message::Close(Some(frame))).await
        };
        // Whoever does not listen is not told.
        let _ = timeout(self.judge.bounds.refused, told).await;
        Step::Over(End::Cut)
    }
}

/// A close as its frame has it.
fn closing(frame: &CloseFrame) -> Vec<u8> {
    [&u16::from(frame.code).to_be_bytes()[..], frame.reason.as_bytes()].concat()
}

fn config(bounds: &Bounds) -> WebSocketConfig {
    WebSocketConfig::default()
        .max_message_size(Some(bounds.question_bytes))
        .max_frame_size(Some(bounds.question_bytes))
}
