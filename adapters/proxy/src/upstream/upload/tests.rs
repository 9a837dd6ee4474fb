use super::*;
use crate::memory::Memory;
use futures_util::FutureExt;
use http_body_util::{BodyExt, Full, StreamBody};
use tokio::sync::oneshot::error::TryRecvError;

fn uncounted() -> HeldMemory {
    Memory::unlimited().admit(0).unwrap()
}

fn data(size: usize) -> Frame<Bytes> {
    Frame::data(Bytes::from(vec![b'x'; size]))
}

fn chunks(chunks: &[&'static str]) -> ClientBody {
    let frames: Vec<_> = chunks
        .iter()
        .map(|c| Ok::<_, BoxError>(Frame::data(Bytes::from_static(c.as_bytes()))))
        .collect();
    Box::pin(StreamBody::new(futures_util::stream::iter(frames)))
}

#[tokio::test]
async fn a_body_that_was_taken_back_gives_its_reader_nothing_more() {
    let handle = UploadHandle::new(chunks(&["a", "b"]), None, uncounted());
    let mut first = RequestBody::Upload(handle.body());
    assert!(handle.rewind());
    assert!(first.frame().await.unwrap().is_err());
    let second = RequestBody::Upload(handle.body());
    assert_eq!(second.collect().await.unwrap().to_bytes(), "ab");
    assert!(!handle.rewind(), "all of it was read and nothing kept");
}

#[tokio::test]
async fn an_empty_body_can_be_sent_again_however_much_was_read_of_it() {
    for frames_read in [0, 1] {
        let handle = UploadHandle::new(chunks(&[]), None, uncounted());
        let mut reader = RequestBody::Upload(handle.body());
        for _ in 0..frames_read {
            assert!(reader.frame().await.is_none());
        }
        assert!(handle.rewind(), "{frames_read}");
    }
}

#[tokio::test]
async fn dropping_the_handle_cuts_the_upload_off_and_wakes_its_reader() {
    let waiting: ClientBody = Box::pin(StreamBody::new(futures_util::stream::pending::<
        Result<Frame<Bytes>, BoxError>,
    >()));
    let handle = UploadHandle::new(waiting, None, uncounted());
    let mut body = RequestBody::Upload(handle.body());
    let reader = tokio::spawn(async move { body.frame().await });
    tokio::task::yield_now().await;
    drop(handle);
    let frame = reader.await.unwrap();
    assert!(matches!(frame, Some(Err(UploadError::Cut))));
}

/// Whether a body comes to its end; each frame is let go of as one that was sent.
async fn sent(mut body: RequestBody) -> bool {
    while let Some(frame) = body.frame().await {
        if frame.is_err() {
            return false;
        }
    }
    true
}

#[tokio::test]
async fn no_more_is_read_while_32_kib_wait_to_be_sent() {
    const FRAME: usize = 16 << 10;
    let frames = std::iter::repeat_with(|| Ok::<_, BoxError>(data(FRAME))).take(8);
    let frames: Vec<_> = frames.collect();
    let stream = StreamBody::new(futures_util::stream::iter(frames));
    let handle = UploadHandle::new(Box::pin(stream), None, uncounted());
    let mut body = RequestBody::Upload(handle.body());
    let mut waiting = Vec::new();
    while let Some(Some(frame)) = body.frame().now_or_never() {
        waiting.push(frame.unwrap());
    }
    // The first is not counted, and the one that goes beyond the bound is read.
    assert_eq!(waiting.len(), 1 + UNSENT / FRAME + 1);
    assert!(!handle.silence().1, "the client is not waited for");

    waiting.pop();
    let next = body.frame().now_or_never();
    assert!(next.is_some(), "one was sent, so one is read");
    drop((next, waiting));
    assert!(sent(body).await);
}

#[tokio::test]
async fn after_the_answer_an_endpoint_may_take_a_little_more() {
    const MIB: usize = 1024 * 1024;
    for (given, sizes, is_whole) in [
        ("little", vec![10, 10], true),
        ("all that it may take", vec![MIB / 2, MIB / 2], true),
        ("too much", vec![MIB, 1], false),
    ] {
        let frames = sizes.iter().map(|size| Ok::<_, BoxError>(data(*size)));
        let frames: Vec<_> = frames.collect();
        let stream = StreamBody::new(futures_util::stream::iter(frames));
        let handle = UploadHandle::new(Box::pin(stream), None, uncounted());
        let body = RequestBody::Upload(handle.body());
        let (claim, released) = oneshot::channel::<()>();
        handle.finish_after_answer(claim);
        assert_eq!(sent(body).await, is_whole, "{given}");
        // It does not take the 5 s.
        let released = tokio::time::timeout(Duration::from_secs(3), released).await;
        assert!(
            released.is_ok(),
            "{given}: the claim is released at the end"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn after_the_answer_an_endpoint_may_not_take_for_ever() {
    let silent: ClientBody = Box::pin(StreamBody::new(futures_util::stream::pending::<
        Result<Frame<Bytes>, BoxError>,
    >()));
    let handle = UploadHandle::new(silent, None, uncounted());
    let mut body = RequestBody::Upload(handle.body());
    let (claim, mut released) = oneshot::channel::<()>();
    let started = Instant::now();
    handle.finish_after_answer(claim);
    assert!(released.try_recv().is_err_and(|e| e == TryRecvError::Empty));
    assert!(matches!(body.frame().await, Some(Err(UploadError::Cut))));
    assert_eq!(started.elapsed().as_secs(), AFTER_ANSWER.as_secs());
    assert!(released.await.is_err());
}

#[tokio::test]
async fn what_a_connection_gives_up_releases_the_claim_at_once() {
    let handle = UploadHandle::new(chunks(&["a", "b"]), None, uncounted());
    let body = RequestBody::Upload(handle.body());
    let (claim, released) = oneshot::channel::<()>();
    handle.finish_after_answer(claim);
    drop(body);
    let released = tokio::time::timeout(Duration::from_secs(3), released).await;
    assert!(released.is_ok());
}

#[tokio::test]
async fn a_refused_body_is_sent_again_from_its_beginning_while_all_of_it_is_kept() {
    let each = 2 + kept::FRAME;
    for (given, limit, frames_read, again) in [
        ("nothing read", 0, 0, true),
        ("a part read", 1000, 1, true),
        ("all read", 1000, 4, true),
        ("all read, just kept", 3 * each, 4, true),
        ("more read than is kept", 3 * each - 1, 3, false),
        ("less read than is kept", 3 * each - 1, 2, true),
        ("nothing kept", 0, 1, false),
    ] {
        let handle = UploadHandle::new(chunks(&["ab", "cd", "ef"]), None, uncounted());
        handle.keep(limit, uncounted());
        for _ in 0..2 {
            let mut first = RequestBody::Upload(handle.body());
            for _ in 0..frames_read {
                first.frame().await;
            }
            assert_eq!(handle.rewind(), again, "{given}");
        }
        let last = RequestBody::Upload(handle.body());
        if again {
            assert!(!last.is_end_stream());
            assert_eq!(
                last.collect().await.unwrap().to_bytes(),
                "abcdef",
                "{given}"
            );
        }
    }
}

#[tokio::test]
async fn what_is_kept_is_counted_until_the_answer() {
    let memory = Memory::of(1024 * 1024);
    let handle = UploadHandle::new(chunks(&["ab", "cd"]), None, uncounted());
    handle.keep(1000, memory.admit(0).unwrap());
    let mut body = RequestBody::Upload(handle.body());
    body.frame().await;
    body.frame().await;
    assert_eq!(memory.held(), 2 * (2 + kept::FRAME));
    handle.answered();
    assert_eq!(memory.held(), 0);
}

/// Memory that has room for large requests of so many bytes together.
fn room_for(bytes: usize) -> Arc<Memory> {
    Memory::of(2 * (bytes.div_ceil(3) * 4 + 4))
}

#[test]
fn a_body_that_is_known_to_be_large_is_counted_as_far_as_it_may_wait() {
    const KIB: usize = 1024;
    for (size, room, counted) in [
        (16 * KIB, 0, Some(0)),
        (16 * KIB + 1, 0, None),
        (100 * KIB, 100 * KIB, Some(100 * KIB)),
        (900 * KIB, 512 * KIB, Some(512 * KIB)),
        (900 * KIB, 511 * KIB, None),
    ] {
        let memory = room_for(room);
        let body = Full::new(Bytes::from(vec![b'x'; size])).map_err(|e| match e {});
        let handle = UploadHandle::new(Box::pin(body), None, memory.admit(0).unwrap());
        assert_eq!(handle.has_room(), counted.is_some(), "{size} {room}");
        assert_eq!(memory.held(), counted.unwrap_or(0), "{size} {room}");
        drop(handle);
        assert_eq!(memory.held(), 0, "{size} {room}");
    }
}

#[tokio::test]
async fn a_body_of_unknown_length_is_counted_while_it_waits() {
    const FRAME: usize = 16 << 10;
    for (room, fault) in [(512 << 10, None), (0, Some(UploadFault::NoMemory))] {
        let frames = std::iter::repeat_with(|| Ok::<_, BoxError>(data(FRAME))).take(8);
        let stream = StreamBody::new(futures_util::stream::iter(frames.collect::<Vec<_>>()));
        let memory = room_for(room);
        let handle = UploadHandle::new(Box::pin(stream), None, memory.admit(0).unwrap());
        assert!(handle.has_room());
        let mut body = RequestBody::Upload(handle.body());
        let mut waiting = Vec::new();
        while let Some(Some(Ok(frame))) = body.frame().now_or_never() {
            waiting.push(frame);
        }
        assert_eq!(handle.fault(), fault, "{room}");
        assert_eq!(memory.held(), room, "while it waits");
        drop(waiting);
        assert_eq!(sent(body).await, fault.is_none(), "{room}");
        assert_eq!(memory.held(), 0, "it got on");
    }
}

#[tokio::test]
async fn a_body_above_the_limit_fails_and_says_so() {
    for (limit, fault) in [
        (4, None),
        (3, Some(UploadFault::TooLarge)),
        (0, Some(UploadFault::TooLarge)),
    ] {
        let handle = UploadHandle::new(chunks(&["ab", "cd"]), Some(limit), uncounted());
        let collected = RequestBody::Upload(handle.body()).collect().await;
        assert_eq!(collected.is_err(), fault.is_some(), "{limit}");
        assert_eq!(handle.fault(), fault, "{limit}");
    }
}

#[test]
fn sizes_are_those_of_the_clients_body() {
    let full: ClientBody = Box::pin(Full::new(Bytes::from("abc")).map_err(|e| match e {}));
    let handle = UploadHandle::new(full, None, uncounted());
    let body = RequestBody::Upload(handle.body());
    assert_eq!(body.size_hint().exact(), Some(3));
    assert!(!body.is_end_stream());
    assert!(RequestBody::Empty.is_end_stream());
}
