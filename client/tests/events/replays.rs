//! Replays: they end, they leave nothing behind, and they do nothing outside.

use std::sync::Mutex;
use std::time::Duration;

use highwater_client::events::{AsOf, EventsError, Start};
use highwater_client::{Attempt, ClientError, CommittedOffset, Handler, HandlerError};

use crate::following::Ledger;
use crate::following::NOON;
use crate::following::shop;

/// Sends a mail for each event: also in a replay, or not.
#[derive(Default)]
struct Mails {
    is_careless: bool,
    handled: Mutex<Vec<i64>>,
    sent: Mutex<u32>,
}

impl Handler for Mails {
    async fn handle(&self, attempt: Attempt) -> Result<(), HandlerError> {
        if self.is_careless || !attempt.effects.is_replay() {
            let send = || async {
                *self.sent.lock().unwrap() += 1;
                Ok::<(), HandlerError>(())
            };
            attempt.effects.external("the mail", send).await?;
        }
        self.handled.lock().unwrap().push(attempt.record.offset);
        Ok(())
    }
}

#[tokio::test]
async fn a_replay_does_nothing_outside_and_leaves_its_group_where_it_was() {
    let shop = shop(1).await;
    shop.append(0..5).await;
    let admin = shop.client.admin();
    let committed = CommittedOffset {
        topic: "orders".to_owned(),
        partition: 0,
        offset: 3,
        ..CommittedOffset::default()
    };
    admin
        .alter_group_offsets("mails", &[committed])
        .await
        .unwrap();
    let before = admin.group_offsets("mails", None).await.unwrap();
    for reader in shop.readers() {
        let careful = Mails::default();
        let replayed = reader.replay().run(&careful).await.unwrap();
        assert_eq!((replayed.handled, replayed.skipped), (5, 0));
        assert_eq!(*careful.handled.lock().unwrap(), [0, 1, 2, 3, 4]);
        assert_eq!(*careful.sent.lock().unwrap(), 0);

        let careless = Mails {
            is_careless: true,
            ..Mails::default()
        };
        let error = reader.replay().run(&careless).await.unwrap_err();
        assert!(
            matches!(error, EventsError::Replay { offset: 0, .. }),
            "{error}"
        );
        let text = error.to_string();
        assert!(
            text.contains("the mail is an effect outside, and orders is only replayed"),
            "{text}"
        );
        assert_eq!(*careless.sent.lock().unwrap(), 0);
    }
    assert_eq!(admin.group_offsets("mails", None).await.unwrap(), before);
    let groups = admin.list_groups().await.unwrap();
    assert_eq!(groups.len(), 1, "{groups:?}");
}

#[tokio::test]
async fn what_happens_outside_happens_when_it_is_no_replay() {
    let shop = shop(1).await;
    shop.append(0..1).await;
    let mut events = shop.orders.subscribe(Start::Beginning).await.unwrap();
    let seen = events.next().await.unwrap();
    assert_eq!(seen.revision, None, "its writer did not know it");
    let effects = highwater_client::Effects::default();
    let sent = effects.external("the mail", || async { Ok::<_, HandlerError>(7) });
    assert_eq!(sent.await.unwrap(), 7);
}

#[tokio::test]
async fn a_replay_ends_where_the_log_ended_when_it_began_or_at_its_moment() {
    let shop = shop(3).await;
    shop.append(0..20).await;
    shop.clock.advance(Duration::from_secs(60));
    shop.append(20..30).await;
    for (at, reader) in shop.readers().into_iter().enumerate() {
        let so_far = 30 + 10 * at;
        let mut replaying = reader.replay().open().await.unwrap();
        assert!(replaying.effects().is_replay());
        shop.append(so_far..so_far + 10).await;
        let mut ledger = Ledger::default();
        while let Some(event) = replaying.next().await.unwrap() {
            ledger.take(event);
        }
        assert_eq!(ledger.items(), Vec::from_iter(0..so_far));

        for ms in [NOON, NOON + 59_999] {
            let until = reader.replay().until(AsOf::time_ms(ms));
            let mut replaying = until.open().await.unwrap();
            let mut ledger = Ledger::default();
            while let Some(event) = replaying.next().await.unwrap() {
                ledger.take(event);
            }
            assert_eq!(ledger.items(), Vec::from_iter(0..20), "until {ms}");
        }
        for until in [AsOf::revision(3), AsOf::offset(3)] {
            let error = reader.replay().until(until).open().await.unwrap_err();
            let EventsError::Client(ClientError::Invalid(why)) = error else {
                panic!("{error}");
            };
            assert!(why.contains("until a time"), "{why}");
        }
    }
}

#[tokio::test]
async fn of_one_partition_a_replay_is_bounded_by_an_offset() {
    let shop = shop(1).await;
    shop.append(0..9).await;
    for reader in shop.readers() {
        let mails = Mails::default();
        let replay = reader
            .replay()
            .from(Start::Offset(2))
            .until(AsOf::offset(5));
        assert_eq!(replay.run(&mails).await.unwrap().handled, 4);
        assert_eq!(*mails.handled.lock().unwrap(), [2, 3, 4, 5]);
    }
}
