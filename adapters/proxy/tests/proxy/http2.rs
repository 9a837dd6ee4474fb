//! What the proxy makes of HTTP/2 frames.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use domain::route_table::UpstreamProtocol::H2c;
use http::Request;
use http_body_util::BodyExt;
use tokio::sync::Notify;

use crate::raw_h2::{
    self, CANCEL, DATA, END_HEADERS, END_STREAM, Frames, HEADERS, INTERNAL_ERROR, NO_ERROR, PING,
};
use crate::rig::{Sketch, arrival, data, engine, fed, get, in_time, read};

#[tokio::test]
async fn an_endpoint_is_sent_no_pings_while_a_stream_is_silent() {
    let (seen, go_on, pings) = (
        Arc::new(Notify::new()),
        Arc::new(Notify::new()),
        Arc::new(AtomicUsize::new(0)),
    );
    let (told, resumed, counted) = (seen.clone(), go_on.clone(), pings.clone());
    let at = raw_h2::start(move |mut frames: Frames, _| {
        let (told, resumed, counted) = (told.clone(), resumed.clone(), counted.clone());
        async move {
            let stream = frames.next_request().await.unwrap();
            told.notify_one();
            loop {
                tokio::select! {
                    biased;
                    frame = frames.next() => match frame {
                        Some(frame) if frame.kind == PING => _ = counted.fetch_add(1, SeqCst),
                        Some(_) => {}
                        None => return,
                    },
                    () = resumed.notified() => break,
                }
            }
            frames.answer(stream, END_STREAM).await;
            frames.drain().await;
        }
    })
    .await;
    let engine = engine();
    engine.load(Sketch::simple(H2c, &[at]));
    let silent = async {
        seen.notified().await;
        tokio::time::pause();
        // Below the limit for an answer, in steps in which timers do their work.
        for _ in 0..100 {
            tokio::time::advance(Duration::from_secs(1)).await;
            tokio::task::yield_now().await;
        }
        tokio::time::resume();
        // A ping would be on its way before this request.
        go_on.notify_one();
    };
    let (response, ()) = tokio::join!(get(&engine, "/"), silent);
    assert_eq!(response.status(), 200);
    assert_eq!(pings.load(SeqCst), 0);
}

/// What follows the head of an answer.
#[derive(Debug, Clone, Copy)]
enum Rest {
    Data,
    LastData,
    Trailers,
    Reset(u32),
}

async fn send_rest(frames: &mut Frames, stream: u32, rest: Rest) {
    match rest {
        Rest::Data => frames.send(DATA, 0, stream, b"part").await,
        Rest::LastData => frames.send(DATA, END_STREAM, stream, b"part").await,
        Rest::Trailers => {
            // A trailer `a: b`, written out.
            let trailer = [0x00, 1, b'a', 1, b'b'];
            let flags = END_HEADERS | END_STREAM;
            frames.send(HEADERS, flags, stream, &trailer).await;
        }
        Rest::Reset(reason) => frames.reset(stream, reason).await,
    }
}

#[tokio::test]
async fn an_answer_is_whole_only_when_its_stream_says_so() {
    use Rest::{Data, LastData, Reset, Trailers};
    for (rest, is_whole) in [
        (vec![Data, LastData], true),
        (vec![Data, Trailers], true),
        (vec![Data, Reset(NO_ERROR)], false),
        (vec![Reset(NO_ERROR)], false),
        (vec![Data, Reset(CANCEL)], false),
        (vec![Data, Reset(INTERNAL_ERROR)], false),
        (vec![LastData, Reset(NO_ERROR)], true),
        (vec![LastData, Reset(CANCEL)], true),
        (vec![Data, Trailers, Reset(NO_ERROR)], true),
    ] {
        let given = format!("{rest:?}");
        let at = raw_h2::start(move |mut frames: Frames, _| {
            let rest = rest.clone();
            async move {
                let stream = frames.next_request().await.unwrap();
                frames.answer(stream, 0).await;
                for rest in rest {
                    send_rest(&mut frames, stream, rest).await;
                }
                frames.drain().await;
            }
        })
        .await;
        let engine = engine();
        engine.load(Sketch::simple(H2c, &[at]));
        // An upload that goes on: an endpoint may answer early and then want no more of it.
        let (feed, body) = fed();
        feed.send(data("begun")).await.unwrap();
        let request = Request::post("/").header("host", "app.example");
        let response = engine.serve(arrival(), request.body(body).unwrap());
        let response = in_time(response).await;
        assert_eq!(response.status(), 200, "{given}");
        let body = in_time(response.into_body().collect()).await;
        assert_eq!(body.is_ok(), is_whole, "{given}");
    }
}

#[tokio::test]
async fn a_connection_that_said_goodbye_takes_no_new_request() {
    let at = raw_h2::start(|mut frames: Frames, number| async move {
        let stream = frames.next_request().await.unwrap();
        frames.go_away(stream, NO_ERROR).await;
        frames.answer(stream, 0).await;
        let name = number.to_string();
        frames.send(DATA, END_STREAM, stream, name.as_bytes()).await;
        // It would answer nothing else.
        frames.drain().await;
    })
    .await;
    let engine = engine();
    engine.load(Sketch::simple(H2c, &[at]));
    for number in 0..5 {
        let answer = in_time(async { read(get(&engine, "/").await).await }).await;
        assert_eq!(answer, (200, number.to_string()));
    }
}
