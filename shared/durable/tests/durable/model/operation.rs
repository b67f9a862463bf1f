//! Operations as they come.

use bytes::Bytes;
use proptest::{collection::vec, prelude::*, sample::select};
use shared::streams::{Append, Create, Expiry, Fork, Form, Producer, ReadFrom};
use std::time::{Duration, SystemTime};

pub const PATHS: [&str; 4] = ["a", "b", "c", "d"];
pub const JSON: &str = "application/json";

/// An operation. A point stands for one of the positions that were returned before. Times of creations are counted from the
/// beginning.
#[derive(Clone, Debug)]
pub enum Operation {
    Create(Create, Option<usize>),
    Append(Append),
    Head(&'static str),
    Page(&'static str, Option<usize>, usize),
    Delete(&'static str),
    Pass(Duration),
    Retain(&'static str, u16),
    Sweep,
}

/// The first one has more to do than the others.
fn path() -> impl Strategy<Value = &'static str> {
    prop_oneof![Just(PATHS[0]), select(&PATHS[..])]
}

fn point() -> impl Strategy<Value = Option<usize>> {
    proptest::option::weighted(0.7, 0..50_usize)
}

fn content_type() -> impl Strategy<Value = Option<String>> {
    let any =
        prop_oneof![2 => Just(None), 3 => Just(Some(JSON)), 1 => select(vec![Some("text/plain"), Some("text/html")])];
    any.prop_map(|it| it.map(str::to_owned))
}

/// JSON, for streams of other types too: a value, or an array of values and arrays.
fn data() -> impl Strategy<Value = Bytes> {
    let value =
        || select(&["1", "-2.50", "null", r#""a, ]""#, r#""\"[""#, r#"{"b" : [3, {}]}"#][..]).prop_map(str::to_owned);
    let space = || select(&["", "", " ", "\n\t"][..]);
    let element =
        prop_oneof![2 => value(), 1 => vec(value(), 0..3).prop_map(|values| format!("[{}]", values.join(", ")))];
    let array = (vec(element, 0..4), space())
        .prop_map(|(elements, space)| format!("[{}]", elements.join(&format!("{space},"))));
    let json = (space(), prop_oneof![value(), array], space());
    json.prop_map(|(before, json, after)| format!("{before}{json}{after}").into())
}

/// Half an hour more, so that a time that passes never ends as close to an end, or to its tenth, as the test is long.
fn hours(hours: u64) -> Duration {
    Duration::from_secs(hours * 3600 + 1800)
}

fn expiry() -> impl Strategy<Value = Option<Expiry>> {
    let ttl = |time: Duration| Some(Expiry::Ttl(time.as_secs().try_into().unwrap()));
    let at = |time| Some(Expiry::At(SystemTime::UNIX_EPOCH + time));
    let ends = [ttl(hours(20)), ttl(hours(60)), at(hours(30)), at(hours(100))];
    prop_oneof![Just(None), select(ends.to_vec())]
}

fn fork() -> impl Strategy<Value = (Option<Fork>, Option<usize>)> {
    let at = prop_oneof![2 => Just(Some(ReadFrom::Start)), 1 => select(vec![None, Some(ReadFrom::Tail)])];
    let fork = (path(), at, prop_oneof![1 => Just(0), 2 => 1_u64..4]).prop_map(|(source, at, sub_offset)| Fork {
        source: source.to_owned(),
        at,
        sub_offset,
        prefix: None,
    });
    (fork.prop_map(Some), point())
}

fn some(probability: f64) -> impl Strategy<Value = Option<Bytes>> {
    proptest::option::weighted(probability, data())
}

fn create() -> impl Strategy<Value = Operation> {
    let new = (content_type(), Just((None, None)));
    let fork = (prop_oneof![3 => Just(None), 1 => content_type()], fork());
    let is_closed = prop_oneof![9 => Just(false), 1 => Just(true)];
    let all = (path(), prop_oneof![1 => new, 2 => fork], expiry(), is_closed, some(0.7));
    all.prop_map(|(path, (content_type, (fork, point)), expiry, closed, data)| {
        let create = Create {
            path: path.to_owned(),
            content_type,
            expiry,
            closed,
            data,
            form: Form::Body,
            fork,
        };
        Operation::Create(create, point)
    })
}

fn append() -> impl Strategy<Value = Operation> {
    let producer = (select(vec!["p", "q"]), 0..2_i64, 0..3_i64).prop_map(|(id, epoch, seq)| Producer {
        id: id.to_owned(),
        epoch,
        seq,
    });
    let seq = proptest::option::weighted(0.2, "[a-c]{1,2}");
    let close = prop_oneof![29 => Just(false), 1 => Just(true)];
    let producer = proptest::option::weighted(0.5, producer);
    let all = (path(), content_type(), some(0.97), close, producer, seq);
    all.prop_map(|(path, content_type, data, close, producer, seq)| {
        Operation::Append(Append {
            path: path.to_owned(),
            content_type,
            close: close || data.is_none(),
            data,
            form: Form::Body,
            producer,
            seq,
        })
    })
}

/// Any operation.
pub fn operation() -> impl Strategy<Value = Operation> {
    let page = (path(), point(), 1..80_usize);
    let time = select(&[1, 7, 7, 7, 7, 45][..]).prop_map(|hours| Duration::from_secs(hours * 3600));
    prop_oneof![
        6 => create(),
        16 => append(),
        1 => path().prop_map(Operation::Head),
        6 => page.prop_map(|(path, point, limit)| Operation::Page(path, point, limit)),
        2 => path().prop_map(Operation::Delete),
        2 => time.prop_map(Operation::Pass),
        3 => (path(), 1..90_u16).prop_map(|(path, bytes)| Operation::Retain(path, bytes)),
        1 => Just(Operation::Sweep),
    ]
}
