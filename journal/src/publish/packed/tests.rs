//! Tests of packing and dividing.

use proptest::prelude::*;
use sluice_model::Person;

use super::*;

fn request(customer: &str, events: usize) -> Request {
    let mut message = MessageBuilder::new();
    for _ in 0..events {
        message.push(&Person { name: "a".into(), address: "b".into() });
    }
    let reply = Reply::Whole(oneshot::channel().0);
    Request { customer: customer.parse().unwrap(), message, ask: Ask::default(), reply }
}

/// A request whose events may be divided, each of them with its number as its name.
fn offered(sizes: &[usize]) -> (Request, mpsc::UnboundedReceiver<Piece>) {
    let mut message = MessageBuilder::new();
    for (number, size) in sizes.iter().enumerate() {
        message.push(&Person { name: number.to_string().into(), address: "x".repeat(*size).into() });
    }
    let (stored, answers) = mpsc::unbounded_channel();
    let customer = "1".parse().unwrap();
    (Request { customer, message, ask: Ask::default(), reply: Reply::Pieces(stored) }, answers)
}

/// The names of the persons of messages, message by message.
fn names(packed: &[&Packed]) -> Vec<Vec<String>> {
    let customer = "1".parse().unwrap();
    let read = |packed: &&Packed| {
        let payload = packed.payload();
        let people = sluice_model::message::decode(&payload, &customer);
        people.map(|person| person.unwrap().name.into_owned()).collect()
    };
    packed.iter().map(read).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]
    /// Whatever the limit, and however often it is lowered: every event stands once, in order, and
    /// is answered for once.
    #[test]
    fn events_are_divided_by_any_limit_without_loss(
        sizes in prop::collection::vec(0usize..300, 1..60), max in 20usize..2_000, lower in 20usize..400,
        before in 0usize..5,
    ) {
        let (request_of_many, mut answers) = offered(&sizes);
        let requests = (0..before).map(|_| request("1", 1)).chain([request_of_many, request("1", 2)]);
        let packed = pack(requests, max);
        let pieces: Vec<Packed> = packed.into_iter().flat_map(|packed| {
            let (id, events) = (packed.id().map(str::to_owned), packed.message.events());
            let pieces = packed.divided(lower);
            assert_eq!(pieces[0].message.id().map(str::to_owned).filter(|_| id.is_some()), id, "the first keeps it");
            assert_eq!(pieces.iter().map(|piece| piece.message.message.events()).sum::<usize>(), events);
            pieces.into_iter().map(|piece| piece.message)
        }).collect();
        for piece in &pieces {
            let whole = piece.parts.iter().all(|part| matches!(part.reply, Reply::Whole(_)));
            prop_assert!(piece.message.bytes() <= lower.min(max) || piece.message.events() == 1 || whole);
            prop_assert_eq!(piece.events(), piece.message.events());
        }
        let all = names(&pieces.iter().collect::<Vec<_>>()).concat();
        let own: Vec<_> = all.into_iter().filter(|name| name != "a").collect();
        prop_assert_eq!(own, (0..sizes.len()).map(|number| number.to_string()).collect::<Vec<_>>());
        let position = Position::first(sluice_model::Partition::new(0));
        pieces.into_iter().for_each(|piece| piece.answer(position, 0, None));
        let mut told = Vec::new();
        while let Ok(Piece { events, stored }) = answers.try_recv() {
            prop_assert!(stored.is_ok());
            told.extend(events);
        }
        prop_assert_eq!(told, (0..sizes.len()).collect::<Vec<_>>());
    }
}

#[test]
fn headers_of_many_traces_make_no_message_too_large() {
    let traced = || Request { ask: Ask { trace: Some("t".repeat(55)), ..Ask::default() }, ..request("1", 1) };
    let packed = pack((0..100).map(|_| traced()), 4_000);
    assert!(packed.len() > 1 && packed.iter().all(|packed| packed.header_bytes <= 4_000), "{}", packed.len());
}

#[test]
fn large_messages_alone_bear_an_id_of_their_own() {
    let packed = pack([offered(&[100]).0].into_iter(), 1 << 20);
    assert_eq!(packed[0].id(), None);
    let packed = pack([offered(&[OWN_ID_BYTES]).0].into_iter(), 1 << 20);
    assert!(packed[0].id().is_some_and(|id| id.len() == 32) && !packed[0].has_clients_id());
    let ask = Ask { message_id: Some("k".to_owned()), ..Ask::default() };
    let packed = pack([Request { ask, ..offered(&[OWN_ID_BYTES]).0 }].into_iter(), 1 << 20);
    assert!(packed[0].id() == Some("k") && packed[0].has_clients_id());
}

#[tokio::test]
async fn of_events_that_nobody_answered_for_the_outcome_is_unknown() {
    let (Request { reply: Reply::Pieces(stored), .. }, answers) = offered(&[1, 1, 1]) else { panic!("pieces") };
    stored.send(Piece { events: 0..2, stored: Err(PublishError::Full) }).unwrap();
    drop(stored);
    let pieces = all_pieces(3, answers).await;
    assert!(matches!(
        &pieces[..],
        [Piece { events: Range { start: 0, end: 3 }, stored: Err(PublishError::Unknown(_)) }]
    ));
}

#[test]
fn a_request_with_a_message_id_is_a_message_of_its_own() {
    let with_id = Request { ask: Ask { message_id: Some("k".to_owned()), ..Ask::default() }, ..request("1", 1) };
    let packed = pack([request("1", 1), with_id, request("1", 1)].into_iter(), 1 << 20);
    assert_eq!(packed.iter().map(|p| (p.message.events(), p.id())).collect::<Vec<_>>(), [(2, None), (1, Some("k"))]);
}

#[test]
fn a_round_packs_each_customers_events_in_order_within_both_limits() {
    let requests = [("1", 1), ("2", 2), ("1", 3), ("1", 1_022), ("1", 1)].map(|(c, n)| request(c, n));
    let packed = pack(requests.into_iter(), 1 << 20);
    let shape: Vec<_> = packed
        .iter()
        .map(|p| (p.customer.as_str(), p.message.events(), p.parts.iter().map(|part| part.first).collect::<Vec<_>>()))
        .collect();
    assert_eq!(shape, [("1", 4, vec![0, 1]), ("2", 2, vec![0]), ("1", 1_023, vec![0, 1_022])]);
    // 26 bytes an event: two of them and the line feed are 53.
    let small = pack([request("1", 1), request("1", 1), request("1", 1)].into_iter(), 53);
    assert_eq!(small.iter().map(|p| p.message.events()).collect::<Vec<_>>(), [2, 1]);
}
