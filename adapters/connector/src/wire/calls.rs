//! The server's half of Cap'n Proto RPC, as much of it as the edge's one call needs: over QUIC it pushes
//! configuration by `updateConfiguration`, on a stream of its own for each call. Everything else is
//! answered with the exception `unimplemented`.

use bytes::BytesMut;
use capnp_rpc::rpc_capnp::{call, exception, message};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tunnel_schema::tunnelrpc_capnp::configuration_manager;

use super::frame::{self, Builder, Message};
use super::rpc::RpcError;

const CONFIGURATION_MANAGER: u64 = 0xb48e_dfbd_aa25_db04;
const UPDATE_CONFIGURATION: u16 = 0;
/// Bytes of a message at most; a pushed configuration is one.
const MAX_MESSAGE: usize = 16 << 20;

/// What a push of configuration is answered with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Applied {
    /// The newest version there is.
    pub(crate) version: i32,
    /// Why the pushed one is not it; empty where that is no error.
    pub(crate) error: &'static str,
}

/// Answers calls until the edge ends the stream. `buffer` holds what was read of it already; `update`
/// gets version and JSON of a pushed configuration.
pub(crate) async fn serve<S>(
    stream: &mut S,
    buffer: &mut BytesMut,
    update: impl Fn(i32, &[u8]) -> Applied,
) -> Result<(), RpcError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    loop {
        while let Some(message) = frame::take_within(buffer, MAX_MESSAGE)? {
            if let Some(answer) = answer(&message, &update)? {
                stream.write_all(&answer).await?;
                stream.flush().await?;
            }
        }
        if stream.read_buf(buffer).await? == 0 {
            return Ok(());
        }
    }
}

/// The answer to a message; `None` for one that needs none: what is exported lives as long as the
/// stream, whatever is finished or released.
fn answer(
    message: &Message,
    update: &impl Fn(i32, &[u8]) -> Applied,
) -> Result<Option<Vec<u8>>, RpcError> {
    match message.get_root::<message::Reader<'_>>()?.which() {
        Ok(message::Bootstrap(question)) => Ok(Some(bootstrap(question?.get_question_id()))),
        Ok(message::Call(call)) => returned(call?, update).map(Some),
        _ => Ok(None),
    }
}

/// The word of a bootstrap's answer in which its content is, after the frame's header: the root's
/// pointer, the message (one word, one pointer), the return (two words, one pointer), then this.
const CONTENT: usize = 8 + 6 * 8;
/// A pointer to the first capability of a message's table
/// (<https://capnproto.org/encoding.html#capabilities-interfaces>).
const FIRST_CAPABILITY: u8 = 3;

fn bootstrap(question: u32) -> Vec<u8> {
    let mut message = Builder::new_default();
    let mut answer = message.init_root::<message::Builder<'_>>().init_return();
    answer.set_answer_id(question);
    answer.set_release_param_caps(false);
    let results = answer.init_results();
    results.init_cap_table(1).get(0).set_sender_hosted(0);
    let mut bytes = frame::bytes(&message);
    // The library sets a capability through the RPC system only. In a message built in this order the
    // content's pointer has a place of its own, still null; a test reads it back.
    bytes[CONTENT] = FIRST_CAPABILITY;
    bytes
}

fn returned(
    call: call::Reader<'_>,
    update: &impl Fn(i32, &[u8]) -> Applied,
) -> Result<Vec<u8>, RpcError> {
    let mut message = Builder::new_default();
    let mut answer = message.init_root::<message::Builder<'_>>().init_return();
    answer.set_answer_id(call.get_question_id());
    answer.set_release_param_caps(false);
    let called = (call.get_interface_id(), call.get_method_id());
    if called == (CONFIGURATION_MANAGER, UPDATE_CONFIGURATION) {
        let params = call
            .get_params()?
            .get_content()
            .get_as::<configuration_manager::update_configuration_params::Reader<'_>>()?;
        let applied = update(params.get_version(), params.get_config()?);
        let mut result = answer
            .init_results()
            .get_content()
            .init_as::<configuration_manager::update_configuration_results::Builder<'_>>()
            .init_result();
        result.set_latest_applied_version(applied.version);
        result.set_err(applied.error);
    } else {
        let mut exception = answer.init_exception();
        exception.set_reason("not implemented");
        exception.set_type(exception::Type::Unimplemented);
    }
    Ok(frame::bytes(&message))
}

#[cfg(test)]
mod tests {
    use capnp_rpc::rpc_capnp::{cap_descriptor, return_};
    use proptest::prelude::*;

    use super::*;

    fn nothing(version: i32, _: &[u8]) -> Applied {
        Applied { version, error: "" }
    }

    fn taken(bytes: &[u8]) -> Message {
        frame::take(&mut BytesMut::from(bytes)).unwrap().unwrap()
    }

    #[test]
    fn the_answer_to_a_bootstrap_has_a_capability_as_its_content() {
        let mut question = Builder::new_default();
        question
            .init_root::<message::Builder<'_>>()
            .init_bootstrap()
            .set_question_id(7);
        let question = taken(&frame::bytes(&question));

        let answer = taken(&answer(&question, &nothing).unwrap().unwrap());

        let Ok(message::Return(Ok(answer))) =
            answer.get_root::<message::Reader<'_>>().unwrap().which()
        else {
            panic!("not a return");
        };
        assert_eq!(answer.get_answer_id(), 7);
        let Ok(return_::Results(Ok(results))) = answer.which() else {
            panic!("no results");
        };
        assert!(!results.get_content().is_null());
        let table = results.get_cap_table().unwrap();
        let Ok(cap_descriptor::SenderHosted(id)) = table.get(0).which() else {
            panic!("not ours");
        };
        assert_eq!((table.len(), id), (1, 0));
    }

    #[test]
    fn a_call_of_anything_else_is_not_implemented() {
        let mut question = Builder::new_default();
        let mut call = question.init_root::<message::Builder<'_>>().init_call();
        call.set_question_id(3);
        call.set_interface_id(0x8394_45a5_9fb0_1686);
        let question = taken(&frame::bytes(&question));

        let answer = taken(&answer(&question, &nothing).unwrap().unwrap());

        let Ok(message::Return(Ok(answer))) =
            answer.get_root::<message::Reader<'_>>().unwrap().which()
        else {
            panic!("not a return");
        };
        let Ok(return_::Exception(Ok(exception))) = answer.which() else {
            panic!("no exception");
        };
        let kind = exception.get_type().unwrap();
        assert!(kind == exception::Type::Unimplemented);
    }

    proptest! {
        #[test]
        fn a_call_with_wrong_bytes_in_it_never_panics(
            changes in proptest::collection::vec((0_usize..300, any::<u8>()), 0..12)
        ) {
            let mut question = Builder::new_default();
            let mut call = question.init_root::<message::Builder<'_>>().init_call();
            call.set_interface_id(CONFIGURATION_MANAGER);
            call.init_params()
                .get_content()
                .init_as::<configuration_manager::update_configuration_params::Builder<'_>>()
                .set_config(b"{}");
            let mut bytes = frame::bytes(&question);
            for (at, byte) in changes {
                let at = at % bytes.len();
                bytes[at] = byte;
            }
            if let Ok(Some(message)) = frame::take(&mut BytesMut::from(&bytes[..])) {
                let _ = answer(&message, &nothing);
            }
        }
    }
}
