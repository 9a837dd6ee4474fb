//! The client's half of the control stream: as much of Cap'n Proto RPC as two calls on a bootstrap
//! capability need (<https://capnproto.org/rpc.html>, level 1 with a pipelined first call). Every future
//! here is `Send`.

use std::io;
use std::time::Duration;

use bytes::BytesMut;
use capnp_rpc::rpc_capnp::{cap_descriptor, exception, message, payload, return_};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tunnel_schema::tunnelrpc_capnp::{connection_response, registration_server};

use super::frame::{self, Builder, Message};

const REGISTRATION_SERVER: u64 = 0xf716_95ec_7fe8_5497;
const REGISTER_CONNECTION: u16 = 0;
const UNREGISTER_CONNECTION: u16 = 1;
/// The question that asks for the bootstrap capability.
const BOOTSTRAP: u32 = 0;

#[derive(Debug, thiserror::Error)]
pub(crate) enum RpcError {
    #[error("the control stream broke: {0}")]
    Io(#[from] io::Error),
    #[error("the edge sent a malformed message: {0}")]
    Malformed(#[from] capnp::Error),
    #[error("the edge failed: {0}")]
    Exception(String),
    #[error("the edge aborted the control stream: {0}")]
    Abort(String),
    #[error("the edge broke the protocol: {0}")]
    Protocol(&'static str),
}

impl From<std::str::Utf8Error> for RpcError {
    fn from(_: std::str::Utf8Error) -> Self {
        Self::Protocol("a text that is not UTF-8")
    }
}

impl From<capnp::NotInSchema> for RpcError {
    fn from(_: capnp::NotInSchema) -> Self {
        Self::Protocol("a value that the schema does not have")
    }
}

/// What `registerConnection` is called with.
pub(crate) struct Registration<'a> {
    pub(crate) account: &'a str,
    pub(crate) secret: &'a [u8],
    pub(crate) tunnel: &'a [u8; 16],
    pub(crate) index: u8,
    pub(crate) connector_id: &'a [u8; 16],
    pub(crate) version: &'a str,
    /// Operating system and processor, such as `linux_amd64`.
    pub(crate) arch: &'a str,
    pub(crate) features: &'a [&'a str],
    pub(crate) previous_attempts: u8,
}

/// The answer to `registerConnection`.
#[derive(Debug)]
pub(crate) enum Registered {
    /// The connection serves from now on.
    Accepted {
        /// Where the edge is, as it calls itself.
        location: String,
    },
    /// The edge does not want it.
    Refused(RegistrationRefusal),
}

/// Why the edge does not want a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RegistrationRefusal {
    /// In the edge's words.
    pub(crate) cause: String,
    /// How long to wait at least; zero where the edge does not say.
    pub(crate) retry_after: Duration,
    /// Whether the edge thinks that another attempt has a chance.
    pub(crate) should_retry: bool,
}

impl RegistrationRefusal {
    /// Whether it says that there is no such tunnel, or that the token is not its. A tunnel that was made a moment
    /// ago may be refused so as well.
    pub(crate) fn disowns(&self) -> bool {
        self.cause.contains("Unauthorized") || self.cause.contains("Tunnel not found")
    }
}

/// The RPC client on a control stream.
pub(crate) struct Client<S> {
    stream: S,
    buffer: BytesMut,
    next_question: u32,
    capability: Option<u32>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    /// Nothing is sent before the first call.
    pub(crate) fn new(stream: S) -> Self {
        Self {
            stream,
            buffer: BytesMut::with_capacity(4096),
            next_question: BOOTSTRAP + 1,
            capability: None,
        }
    }

    /// Registers the connection. Bootstrap and call go out together: one round trip.
    pub(crate) async fn register(
        &mut self,
        registration: &Registration<'_>,
    ) -> Result<Registered, RpcError> {
        let mut sent = bootstrap();
        let question = self.question();
        sent.extend(self.call(question, REGISTER_CONNECTION, |params| {
            write_registration(registration, params);
        }));
        self.send(&sent).await?;
        self.answer(question, read_registered).await
    }

    /// Unregisters the connection: the edge sends it no more requests.
    pub(crate) async fn unregister(&mut self) -> Result<(), RpcError> {
        let question = self.question();
        let sent = self.call(question, UNREGISTER_CONNECTION, |params| {
            params
                .get_content()
                .init_as::<registration_server::unregister_connection_params::Builder<'_>>();
        });
        self.send(&sent).await?;
        self.answer(question, |_| Ok(())).await
    }

    /// Waits until the edge ends the control stream, and says how. Can be dropped and called again.
    pub(crate) async fn ended(&mut self) -> RpcError {
        loop {
            let ended = match self.next().await {
                Ok(message) => message
                    .get_root::<message::Reader<'_>>()
                    .map_err(RpcError::from)
                    .and_then(aborted),
                Err(error) => Err(error),
            };
            if let Err(error) = ended {
                return error;
            }
        }
    }

    fn question(&mut self) -> u32 {
        let question = self.next_question;
        self.next_question += 1;
        question
    }

    fn call(
        &self,
        question: u32,
        method: u16,
        write: impl FnOnce(payload::Builder<'_>),
    ) -> Vec<u8> {
        let mut message = Builder::new_default();
        let mut call = message.init_root::<message::Builder<'_>>().init_call();
        call.set_question_id(question);
        call.set_interface_id(REGISTRATION_SERVER);
        call.set_method_id(method);
        call.reborrow().init_send_results_to().set_caller(());
        let mut target = call.reborrow().init_target();
        match self.capability {
            Some(capability) => target.set_imported_cap(capability),
            None => target.init_promised_answer().set_question_id(BOOTSTRAP),
        }
        write(call.init_params());
        frame::bytes(&message)
    }

    async fn send(&mut self, bytes: &[u8]) -> Result<(), RpcError> {
        self.stream.write_all(bytes).await?;
        Ok(self.stream.flush().await?)
    }

    async fn next(&mut self) -> Result<Message, RpcError> {
        loop {
            if let Some(message) = frame::take(&mut self.buffer)? {
                return Ok(message);
            }
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
        }
    }

    /// Reads on until `question` is answered.
    async fn answer<T>(
        &mut self,
        question: u32,
        read: impl Fn(payload::Reader<'_>) -> Result<T, RpcError>,
    ) -> Result<T, RpcError> {
        loop {
            let message = self.next().await?;
            // Readers are not held across an await: they are not `Send`.
            let (answered, result) = match returned(&message)? {
                Some((id, payload)) if id == question => (id, Some(payload.and_then(&read))),
                Some((BOOTSTRAP, payload)) => {
                    self.capability = Some(capability(payload?)?);
                    (BOOTSTRAP, None)
                }
                _ => continue,
            };
            self.send(&finish(answered)).await?;
            if let Some(result) = result {
                return result;
            }
        }
    }
}

/// The question that a message answers, with its results. `None` for messages that are no answer and
/// need none: nothing of ours is exported.
type Returned<'a> = Option<(u32, Result<payload::Reader<'a>, RpcError>)>;

fn returned(message: &Message) -> Result<Returned<'_>, RpcError> {
    let root = message.get_root::<message::Reader<'_>>()?;
    let answer = match root.which() {
        Ok(message::Return(answer)) => answer?,
        Ok(message::Unimplemented(_)) => {
            return Err(RpcError::Protocol("registration is not implemented"));
        }
        _ => return aborted(root).map(|()| None),
    };
    let payload = match answer.which() {
        Ok(return_::Results(payload)) => payload.map_err(RpcError::from),
        Ok(return_::Exception(exception)) => Err(RpcError::Exception(reason(exception?)?)),
        _ => Err(RpcError::Protocol("an answer of an unexpected kind")),
    };
    Ok(Some((answer.get_answer_id(), payload)))
}

/// An error where the message ends the session.
fn aborted(root: message::Reader<'_>) -> Result<(), RpcError> {
    match root.which() {
        Ok(message::Abort(exception)) => Err(RpcError::Abort(reason(exception?)?)),
        _ => Ok(()),
    }
}

fn reason(exception: exception::Reader<'_>) -> Result<String, RpcError> {
    one_line(exception.get_reason()?)
}

/// Characters of a text that are kept. The edge's own texts are shorter.
const LONGEST_TEXT: usize = 300;

/// A text of the edge as it may stand in a log or a status: in one line, and not too long.
fn one_line(text: capnp::text::Reader<'_>) -> Result<String, RpcError> {
    let printable = |c: char| if c.is_control() { ' ' } else { c };
    Ok(text
        .to_str()?
        .chars()
        .take(LONGEST_TEXT)
        .map(printable)
        .collect())
}

fn capability(payload: payload::Reader<'_>) -> Result<u32, RpcError> {
    let table = payload.get_cap_table()?;
    if table.is_empty() {
        return Err(RpcError::Protocol("no bootstrap capability"));
    }
    match table.get(0).which() {
        Ok(cap_descriptor::SenderHosted(id) | cap_descriptor::SenderPromise(id)) => Ok(id),
        _ => Err(RpcError::Protocol(
            "a bootstrap capability of an unexpected kind",
        )),
    }
}

fn bootstrap() -> Vec<u8> {
    let mut message = Builder::new_default();
    message
        .init_root::<message::Builder<'_>>()
        .init_bootstrap()
        .set_question_id(BOOTSTRAP);
    frame::bytes(&message)
}

fn finish(question: u32) -> Vec<u8> {
    let mut message = Builder::new_default();
    let mut finish = message.init_root::<message::Builder<'_>>().init_finish();
    finish.set_question_id(question);
    finish.set_release_result_caps(false);
    frame::bytes(&message)
}

fn write_registration(registration: &Registration<'_>, params: payload::Builder<'_>) {
    let mut content = params
        .get_content()
        .init_as::<registration_server::register_connection_params::Builder<'_>>();
    let mut auth = content.reborrow().init_auth();
    auth.set_account_tag(registration.account);
    auth.set_tunnel_secret(registration.secret);
    content.set_tunnel_id(registration.tunnel);
    content.set_conn_index(registration.index);
    let mut options = content.init_options();
    options.set_num_previous_attempts(registration.previous_attempts);
    let mut client = options.init_client();
    client.set_client_id(registration.connector_id);
    client.set_version(registration.version);
    client.set_arch(registration.arch);
    let count = u32::try_from(registration.features.len()).expect("a handful of features");
    let mut features = client.init_features(count);
    for (at, feature) in (0..count).zip(registration.features) {
        features.set(at, feature);
    }
}

/// Reads a message as the answer to a registration, whatever it is.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) fn interpret(message: &Message) {
    if let Ok(Some((_, Ok(payload)))) = returned(message) {
        let _ = capability(payload);
        let _ = read_registered(payload);
    }
}

fn read_registered(payload: payload::Reader<'_>) -> Result<Registered, RpcError> {
    let results = payload
        .get_content()
        .get_as::<registration_server::register_connection_results::Reader<'_>>()?;
    match results.get_result()?.get_result().which()? {
        connection_response::result::ConnectionDetails(details) => Ok(Registered::Accepted {
            location: one_line(details?.get_location_name()?)?,
        }),
        connection_response::result::Error(error) => {
            let error = error?;
            let nanoseconds = u64::try_from(error.get_retry_after()).unwrap_or(0);
            Ok(Registered::Refused(RegistrationRefusal {
                cause: one_line(error.get_cause()?)?,
                retry_after: Duration::from_nanos(nanoseconds),
                should_retry: error.get_should_retry(),
            }))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_of_the_edge_stays_one_short_line() {
        let long = "x".repeat(10_000);
        for (given, then) in [
            ("EDUPCONN", "EDUPCONN"),
            ("two\r\nlines\u{1b}[31m", "two  lines [31m"),
            (long.as_str(), &long[..LONGEST_TEXT]),
        ] {
            assert_eq!(one_line(given.into()).unwrap(), then);
        }
    }
}
