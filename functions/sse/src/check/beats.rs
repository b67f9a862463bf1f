//! Heartbeats, as they arrive. The id of a beat is the time it was sent: a difference that grows shows that something on the
//! way holds beats back.

use super::{PATIENCE, Reason};
use axum::body::{Body, Bytes};
use http_body_util::BodyExt;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// How many beats are read, and for how many periods a compressed stream is watched.
const BEATS: usize = 3;
/// The least time that a second beat is waited for, whatever interval this process is set to: the interval of the stream is
/// unknown until that beat.
const LONGEST_INTERVAL: Duration = Duration::from_secs(30);
/// The longest event, in bytes.
const MAX_EVENT: usize = 64 * 1024;
/// How late a chunk may be on a busy machine, beyond the pace of its stream.
const SLACK: Duration = Duration::from_millis(100);

/// When a beat was sent (ms since the epoch, from its id), and when it arrived.
#[derive(Clone, Copy)]
struct Beat {
    sent_ms: u64,
    arrived: Instant,
}

/// The pace of a stream.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pace {
    /// The average time between two beats when they were sent.
    pub period: Duration,
    /// The largest difference between how far apart the first beat and another one were sent, and how far apart they arrived.
    pub spread: Duration,
}

/// Reads a few beats, and returns when the first one arrived, and their pace. `heartbeat` bounds the wait for the second.
///
/// # Errors
/// The reason why the stream is not live.
pub async fn read(mut body: Body, heartbeat: Duration) -> Result<(Instant, Pace), Reason> {
    let mut text = String::new();
    let mut beats: Vec<Beat> = Vec::new();
    while beats.len() < BEATS {
        let patience = PATIENCE
            + match beats[..] {
                [] => Duration::ZERO,
                [_] => LONGEST_INTERVAL.max(2 * heartbeat),
                _ => 2 * pace(&beats)?.period,
            };
        let last = beats.last().map_or_else(Instant::now, |beat| beat.arrived);
        let beat = timeout_at(last + patience, next_beat(&mut body, &mut text));
        // The head arrived and the beats do not: something on the way holds them back.
        match beat.await.map_err(|_| Reason::Buffered)? {
            Err(Reason::Ended) if beats.len() > 1 => return Err(pace(&beats).err().unwrap_or(Reason::Ended)),
            beat => beats.push(beat?),
        }
    }
    Ok((beats[0].arrived, pace(&beats)?))
}

async fn next_beat(body: &mut Body, text: &mut String) -> Result<Beat, Reason> {
    loop {
        while let Some((event, rest)) = text.split_once("\n\n") {
            let id = event.lines().find_map(|line| line.strip_prefix("id: "));
            let sent = id.and_then(|id| id.parse().ok());
            *text = rest.to_owned();
            if let Some(sent_ms) = sent {
                let arrived = Instant::now();
                return Ok(Beat { sent_ms, arrived });
            }
        }
        if text.len() > MAX_EVENT {
            return Err(Reason::NotAStream);
        }
        text.push_str(&String::from_utf8_lossy(&chunk(body).await?));
    }
}

async fn chunk(body: &mut Body) -> Result<Bytes, Reason> {
    let frame = body.frame().await.ok_or(Reason::Ended)?.map_err(|_| Reason::Broken)?;
    Ok(frame.into_data().unwrap_or_default())
}

fn pace(beats: &[Beat]) -> Result<Pace, Reason> {
    let (first, last) = (beats[0], beats[beats.len() - 1]);
    let total = last.sent_ms.saturating_sub(first.sent_ms);
    let period = Duration::from_millis(total) / (beats.len() as u32 - 1);
    let spread = beats.iter().map(|beat| {
        let sent = Duration::from_millis(beat.sent_ms.abs_diff(first.sent_ms));
        sent.abs_diff(beat.arrived - first.arrived)
    });
    let spread = spread.max().unwrap_or_default();
    match period {
        Duration::ZERO => Err(Reason::NotAStream),
        period if spread > period / 2 => Err(Reason::Buffered),
        period => Ok(Pace { period, spread }),
    }
}

/// Whether the bytes of a compressed stream arrive at this pace.
///
/// # Errors
/// The reason why not; for example, the stream is silent for longer than a beat may be late.
pub async fn holds_pace(pace: Pace, mut body: Body) -> Result<(), Reason> {
    let end = Instant::now() + pace.period * BEATS as u32;
    let mut last = Instant::now();
    while last < end {
        let chunk = timeout_at(last + pace.period * 3 / 2 + SLACK, chunk(&mut body));
        chunk.await.map_err(|_| Reason::Buffered)??;
        last = Instant::now();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::stream;
    use std::convert::Infallible;

    /// A stream of beats: when each was sent and when it arrives, in ms; silent after them.
    fn stream_of(beats: &'static [(u64, u64)]) -> Body {
        let start = Instant::now();
        Body::from_stream(stream::unfold(beats.iter(), move |mut left| async move {
            let Some((sent, arrives)) = left.next() else {
                return std::future::pending().await;
            };
            tokio::time::sleep_until(start + Duration::from_millis(*arrives)).await;
            let event = format!("retry: 1\nid: {sent}\nevent: heartbeat\ndata: ping\n\n");
            Some((Ok::<_, Infallible>(Bytes::from(event)), left))
        }))
    }

    async fn verdict(beats: &'static [(u64, u64)]) -> Result<u128, Reason> {
        let heartbeat = Duration::from_millis(100);
        let read = read(stream_of(beats), heartbeat).await;
        read.map(|(_, pace)| pace.period.as_millis())
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_is_judged_by_its_ids_and_not_by_an_interval_of_the_check() {
        assert_eq!(verdict(&[(1000, 0), (1100, 100), (1200, 210)]).await, Ok(100));
        assert_eq!(
            verdict(&[(1000, 0), (31_000, 30_000), (61_000, 60_000)]).await,
            Ok(30_000)
        );
        assert_eq!(
            verdict(&[(1000, 900), (1100, 900), (1200, 900)]).await,
            Err(Reason::Buffered)
        );
        assert_eq!(verdict(&[(1000, 0), (1001, 1), (1002, 3)]).await, Err(Reason::Buffered));
        assert_eq!(verdict(&[]).await, Err(Reason::Buffered));
        assert_eq!(verdict(&[(1000, 0)]).await, Err(Reason::Buffered));
        assert_eq!(verdict(&[(1000, 0), (1100, 100)]).await, Err(Reason::Buffered));
    }

    #[tokio::test(start_paused = true)]
    async fn ids_that_are_no_times_make_no_heartbeats() {
        assert_eq!(verdict(&[(7, 0), (7, 100), (7, 200)]).await, Err(Reason::NotAStream));
        assert_eq!(
            verdict(&[(u64::MAX, 0), (0, 100), (u64::MAX, 200)]).await,
            Err(Reason::NotAStream)
        );
        let endless = stream::repeat_with(|| Ok::<_, Infallible>(Bytes::from(vec![b'x'; 1000])));
        let read = read(Body::from_stream(endless), Duration::from_secs(1)).await;
        assert_eq!(read.err(), Some(Reason::NotAStream));
        let no_ids = stream::unfold((), async |()| {
            tokio::time::sleep(Duration::from_secs(1)).await;
            Some((Ok::<_, Infallible>(Bytes::from_static(b"data: x\n\n")), ()))
        });
        let read = super::read(Body::from_stream(no_ids), Duration::from_secs(1)).await;
        assert_eq!(read.err(), Some(Reason::Buffered));
    }

    #[tokio::test(start_paused = true)]
    async fn bytes_that_come_at_the_pace_are_live_and_those_that_come_in_heaps_are_not() {
        let pace = Pace {
            period: Duration::from_secs(1),
            spread: Duration::ZERO,
        };
        assert_eq!(
            holds_pace(pace, stream_of(&[(1, 0), (2, 1000), (3, 2000), (4, 3000)])).await,
            Ok(())
        );
        assert_eq!(
            holds_pace(pace, stream_of(&[(1, 0), (2, 3000)])).await,
            Err(Reason::Buffered)
        );
        assert_eq!(
            holds_pace(pace, stream_of(&[(1, 0), (2, 0), (3, 0), (4, 0)])).await,
            Err(Reason::Buffered)
        );
        assert_eq!(holds_pace(pace, stream_of(&[])).await, Err(Reason::Buffered));
        assert_eq!(holds_pace(pace, Body::empty()).await, Err(Reason::Ended));
    }
}
