use super::*;

fn push(queue: &mut Queue, path: &str, turn: Turn) -> oneshot::Receiver<Result<Appended, Error>> {
    let (done, outcome) = oneshot::channel();
    let append = Append {
        path: path.to_owned(),
        ..Append::default()
    };
    queue.push(Waiting {
        append,
        turn,
        end: Instant::now(),
        done,
    });
    outcome
}

fn paths(taken: &Taken) -> Vec<&str> {
    taken.waiting.iter().map(|waiting| &*waiting.append.path).collect()
}

#[test]
fn what_waits_for_streams_that_are_not_busy_goes_together_and_by_stream() {
    let mut queue = Queue::new(1);
    let _callers = ["b", "a", "b"].map(|path| push(&mut queue, path, Turn::Together));
    let taken = queue.take().expect("three wait");
    assert_eq!(paths(&taken), ["a", "b", "b"]);
    let _callers = ["a", "c"].map(|path| push(&mut queue, path, Turn::Together));
    assert_eq!(paths(&queue.take().expect("c is free")), ["c"]);
    assert!(queue.take().is_none());
    queue.finish(["a", "b"].into_iter(), Turn::Together);
    assert_eq!(paths(&queue.take().expect("a is free now")), ["a"]);
}

#[test]
fn those_that_wait_for_a_lock_leave_room_for_others_and_are_not_overtaken() {
    let mut queue = Queue::new(1);
    let _patient = ["a", "b"].map(|path| push(&mut queue, path, Turn::Patient));
    let _others = ["a", "b", "c"].map(|path| push(&mut queue, path, Turn::Together));
    assert_eq!(paths(&queue.take().expect("one may wait")), ["a"]);
    assert_eq!(paths(&queue.take().expect("c is not locked")), ["c"]);
    assert!(queue.take().is_none());
    queue.finish(["a"].into_iter(), Turn::Patient);
    assert_eq!(paths(&queue.take().expect("one may wait again")), ["b"]);
    assert_eq!(paths(&queue.take().expect("a is free now")), ["a"]);
}

#[test]
fn after_a_failure_each_goes_alone_and_a_caller_that_has_gone_is_forgotten() {
    let mut queue = Queue::new(2);
    let callers: Vec<_> = (0..3).map(|_| push(&mut queue, "a", Turn::Together)).collect();
    let taken = queue.take().expect("three wait");
    queue.push_again(taken.waiting, Turn::Alone);
    queue.finish(["a"].into_iter(), Turn::Together);
    let first = queue.take().expect("the first goes alone");
    assert_eq!((paths(&first), first.turn), (vec!["a"], Turn::Alone));
    drop(callers);
    queue.finish(["a"].into_iter(), Turn::Alone);
    assert!(queue.take().is_none());
}

#[test]
fn a_statement_has_a_limit_of_bytes() {
    let mut queue = Queue::new(1);
    let mut callers = Vec::new();
    for _ in 0..5 {
        callers.push(push(&mut queue, "a", Turn::Together));
        let last = queue.waiting.back_mut().expect("it was pushed");
        last.append.data = Some(vec![0; 1 << 20].into());
    }
    assert_eq!(queue.take().expect("five wait").waiting.len(), 4);
}
