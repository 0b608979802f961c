//! Writers that sleep for a while between reading and creating, while others commit and cleaners delete.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use tidemark_model::Ids;

use super::*;

const HISTORIES: u128 = 200;
const TURNS: u64 = 12;
/// Entries a cleaner leaves standing.
const KEPT: u64 = 2;

/// What happened so far in one history.
#[derive(Debug, Default)]
struct History {
    won: BTreeMap<u64, String>,
    fenced: usize,
    deleted: usize,
}

#[derive(Debug, Clone)]
struct Player {
    store: Store,
    register: Register,
    chance: Arc<Ids>,
    history: Arc<Mutex<History>>,
}

impl Player {
    async fn sleep(&self, turns_max: u64) {
        for _turn in 0..self.chance.random() % turns_max {
            tokio::task::yield_now().await;
        }
    }

    fn newest_won(&self) -> u64 {
        self.history.lock().unwrap().won.keys().next_back().copied().unwrap_or(0)
    }

    /// Reads the newest entry; it cannot be older than what was acknowledged before the question.
    async fn newest(&self, hint: Option<u64>) -> u64 {
        let acknowledged = self.newest_won();
        let newest = self.register.latest(hint).await.unwrap();
        let (number, body) = newest.map_or((0, Bytes::new()), |newest| newest);
        assert!(number >= acknowledged, "{number} was read after {acknowledged} was acknowledged");
        if let Some(won) = self.history.lock().unwrap().won.get(&number) {
            assert_eq!(won.as_bytes(), body, "entry {number} changed");
        }
        number
    }

    async fn write(self, writer: usize) {
        let mut hint = None;
        for turn in 0..TURNS {
            let newest = self.newest(hint).await;
            self.sleep(if turn % 4 == 3 { 400 } else { 4 }).await;
            let body = format!("{writer}-{turn}");
            match self.register.create(newest + 1, body.clone().into()).await.unwrap() {
                Created::Won => {
                    hint = Some(newest + 1);
                    let before = self.history.lock().unwrap().won.insert(newest + 1, body);
                    assert_eq!(before, None, "entry {} was won twice", newest + 1);
                }
                Created::Lost => {}
                Created::Fenced => self.history.lock().unwrap().fenced += 1,
            }
        }
    }

    async fn clean(self) {
        let mut from = 1;
        for _turn in 0..TURNS {
            self.sleep(30).await;
            let floor = self.newest(None).await.saturating_sub(KEPT);
            if floor > from {
                self.register.raise_floor(floor).await.unwrap();
                for number in from..floor {
                    self.store.delete(&self.register.path(number)).await.unwrap();
                    self.history.lock().unwrap().deleted += 1;
                }
                from = floor;
            }
        }
    }
}

#[tokio::test]
async fn a_writer_that_outsleeps_the_cleaner_never_wins_and_no_reader_goes_back() {
    let (mut fenced, mut deleted) = (0, 0);
    for seed in 0..HISTORIES {
        let store = Liar::sleepy(seed);
        let history = Arc::new(Mutex::new(History::default()));
        let mut players = tokio::task::JoinSet::new();
        for player in 0..6 {
            let chance = Arc::new(Ids::seeded(seed * 100 + player));
            let one = Player { store: store.clone(), register: register(&store), chance, history: history.clone() };
            match player {
                0..4 => players.spawn(one.write(usize::try_from(player).unwrap())),
                _ => players.spawn(one.clean()),
            };
        }
        players.join_all().await;
        let history = history.lock().unwrap();
        assert!(history.won.keys().copied().eq(1..=history.won.len() as u64), "seed {seed}: the chain has a gap");
        fenced += history.fenced;
        deleted += history.deleted;
    }
    assert!(fenced > 50 && deleted > 1000, "the interesting cases came {fenced} and {deleted} times");
}
