use super::*;
use crate::database::proxy::{handle::SharedOrders, messages::HEADER};
use std::{
    pin::Pin,
    sync::atomic::{AtomicUsize, Ordering},
    task::{Context, Poll, ready},
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, DuplexStream, ReadBuf, duplex};

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
    let (orders, again) = (SharedOrders::default(), Arc::new(Notify::new()));
    let mut requests = Requests {
        from: from_client,
        input: BytesMut::new(),
        output: BytesMut::new(),
        passing: 0,
        timeout: RequestTimeout::None,
        progress: Arc::clone(&progress),
        orders: orders.clone(),
        statements: Statements::default(),
        has_set: false,
        is_within: false,
        last: Vec::new(),
        again: Arc::clone(&again),
    };
    let mut answers = Answers {
        from: from_server,
        input: BytesMut::new(),
        passing: 0,
        taken: 0,
        limit: 2 * BODY,
        is_deaf: false,
        progress,
        orders,
        again,
    };
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
