use super::*;
use crate::database::proxy::{handle::SharedOrders, messages::HEADER};
use proptest::{collection::vec, prelude::*};
use std::{
    pin::Pin,
    sync::atomic::{AtomicUsize, Ordering},
    task::{Context, Poll, ready},
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, DuplexStream, ReadBuf, ReadHalf, duplex};

/// A connection that counts the pieces in which bytes arrive.
struct Counted(DuplexStream, Arc<AtomicUsize>);

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = ready!(Pin::new(&mut self.0).poll_read(context, buffer));
        self.1.fetch_add(1, Ordering::Relaxed);
        Poll::Ready(read)
    }
}

impl AsyncWrite for Counted {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.0).poll_write(context, bytes));
        self.1.fetch_add(1, Ordering::Relaxed);
        Poll::Ready(written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}

fn message(kind: u8, body: usize) -> Vec<u8> {
    let length = (4 + body) as u32;
    [&[kind][..], &length.to_be_bytes(), &vec![0; body]].concat()
}

fn answers(from: ReadHalf<Connection>, progress: Arc<watch::Sender<Progress>>) -> Answers {
    Answers {
        from,
        input: BytesMut::new(),
        passing: 0,
        taken: 0,
        limit: 2 << 20,
        is_deaf: true,
        progress,
        orders: SharedOrders::default(),
        again: Arc::new(Notify::new()),
    }
}

/// Without TCP_NODELAY small pieces would wait; with it each is a packet.
#[tokio::test]
async fn a_megabyte_goes_through_in_some_hundred_pieces_either_way() {
    const BODY: usize = 1 << 20;
    let pieces = Arc::new(AtomicUsize::new(0));
    let (server, mut far) = duplex(BODY + HEADER);
    let (from_server, mut to_server) = split(Box::new(Counted(server, Arc::clone(&pieces))) as Connection);
    let (ours, theirs) = UnixStream::pair().unwrap();
    let (from_client, mut to_client) = ours.into_split();
    let (mut from_us, mut to_us) = theirs.into_split();
    let progress = Arc::new(watch::channel(Progress::default()).0);
    let mut requests = Requests {
        from: from_client,
        input: BytesMut::new(),
        output: BytesMut::new(),
        passing: 0,
        timeout: RequestTimeout::None,
        progress: Arc::clone(&progress),
        orders: SharedOrders::default(),
        statements: Statements::default(),
        has_set: false,
        is_within: false,
        last: Vec::new(),
        again: Arc::new(Notify::new()),
    };
    let mut answers = answers(from_server, progress);
    let ask = async {
        to_us.write_all(&message(b'Q', BODY)).await.unwrap();
        drop(to_us);
    };
    let (asked, ()) = tokio::join!(requests.carry(&mut to_server), ask);
    asked.unwrap();
    let mut taken = vec![0; BODY + HEADER];
    far.read_exact(&mut taken).await.unwrap();
    assert_eq!(taken, message(b'Q', BODY));
    let asking = pieces.swap(0, Ordering::Relaxed);
    far.write_all(&message(b'D', BODY)).await.unwrap();
    drop(far);
    let (_, answered) = tokio::join!(answers.carry(&mut to_client), from_us.read_exact(&mut taken));
    answered.unwrap();
    let answering = pieces.load(Ordering::Relaxed);
    assert!(
        (1..=300).contains(&asking) && (1..=300).contains(&answering),
        "{asking}, {answering}"
    );
}

/// Lengths at which something changes: of messages that are read whole, of reads, of notifications.
fn body() -> impl Strategy<Value = usize> {
    let around = [0, 1024, 8192, 9000, 64 << 10, 128 << 10].map(|length: usize| length.saturating_sub(8)..length + 8);
    (0..around.len(), 0..16_usize).prop_map(move |(index, more)| around[index].start + more)
}

/// An answer of the server: to what was put before the request, and to the request, with what may come at any time.
fn answer() -> impl Strategy<Value = (usize, Vec<(u8, usize)>)> {
    let kind = prop::sample::select(b"DDDDTNAE".to_vec());
    (0..3_usize, vec((kind, body()), 0..6))
}

fn is_notification(kind: u8, body: usize) -> bool {
    kind == b'A' && HEADER + body <= 9000
}

/// What the server sends, and what of it reaches sqlx.
fn sent_and_expected(all: &[(usize, Vec<(u8, usize)>)], progress: &watch::Sender<Progress>) -> (Vec<u8>, Vec<u8>) {
    let (mut sent, mut expected) = (Vec::new(), Vec::new());
    for (prefix, messages) in all {
        progress.send_modify(|progress| {
            progress.expect_not(*prefix);
            progress.ask();
        });
        for _ in 0..*prefix {
            sent.extend(message(b'N', 3));
            expected.extend(message(b'N', 3));
            sent.extend(message(b'A', 100));
            sent.extend(message(b'2', 0));
        }
        for (kind, body) in messages.iter().copied().chain([(b'Z', 1)]) {
            sent.extend(message(kind, body));
            if !is_notification(kind, body) {
                expected.extend(message(kind, body));
            }
        }
    }
    (sent, expected)
}

async fn forwarded(sent: Vec<u8>, pieces: &[usize], progress: Arc<watch::Sender<Progress>>) -> Vec<u8> {
    let (server, mut far) = duplex(1 << 17);
    let (from_server, _to_server) = split(Box::new(server) as Connection);
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let (_from_client, mut to_client) = ours.into_split();
    let mut answers = answers(from_server, progress);
    let (mut rest, mut forwarded) = (&sent[..], Vec::new());
    let send = async {
        for length in pieces.iter().copied().chain(std::iter::repeat(10_007)) {
            let (piece, after) = rest.split_at(length.min(rest.len()));
            far.write_all(piece).await.unwrap();
            rest = after;
            if rest.is_empty() {
                break;
            }
        }
        drop(far);
    };
    let forward = async {
        let end = answers.carry(&mut to_client).await;
        to_client.shutdown().await.unwrap();
        end
    };
    let (end, (), read) = tokio::join!(forward, send, theirs.read_to_end(&mut forwarded));
    read.unwrap();
    assert!(matches!(end, End::ServerGone));
    forwarded
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn answers_arrive_byte_for_byte_however_they_are_cut(
        all in vec(answer(), 1..4),
        pieces in vec(prop_oneof![1..8_usize, 1000..1100_usize, 65_520..65_560_usize], 0..300),
        lost in 0..200_000_usize,
    ) {
        let progress = Arc::new(watch::channel(Progress::default()).0);
        let (mut sent, expected) = sent_and_expected(&all, &progress);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let whole = runtime.block_on(forwarded(sent.clone(), &pieces, Arc::clone(&progress)));
        prop_assert!(whole == expected, "{} bytes of {}", whole.len(), expected.len());
        prop_assert_eq!(progress.borrow().unanswered, 0);
        // The server dies in the middle: what has come is a beginning of it, and the answer is not complete.
        sent.truncate(sent.len().saturating_sub(1 + lost));
        let progress = Arc::new(watch::channel(Progress::default()).0);
        sent_and_expected(&all, &progress);
        let part = runtime.block_on(forwarded(sent, &pieces, Arc::clone(&progress)));
        prop_assert!(expected.starts_with(&part));
        prop_assert!(progress.borrow().unanswered > 0);
    }
}
