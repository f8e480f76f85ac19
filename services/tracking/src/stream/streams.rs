//! The open streams of this process, and what they have to know at once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use metrics::gauge;
use outeract_domain::ApplicationId;
use tokio::sync::watch;
use uuid::Uuid;

use crate::store::consumer::Standing;

/// The open streams.
#[derive(Debug)]
pub(crate) struct Streams {
    open: Mutex<Open>,
    /// Streams of one application.
    per_application: usize,
}

#[derive(Debug, Default)]
struct Open {
    applications: HashMap<Uuid, Application>,
    streams: usize,
}

#[derive(Debug, Default)]
struct Application {
    /// By name of the consumer; one that was fenced has lost its place.
    consumers: HashMap<String, Consumer>,
    /// The fenced ones too.
    streams: usize,
}

#[derive(Debug)]
struct Consumer {
    epoch: i64,
    news: watch::Sender<News>,
}

/// What a stream reacts to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct News {
    /// Position of the newest event.
    pub(crate) head: i64,
    /// Everything up to this position is acknowledged.
    pub(crate) acknowledged: i64,
    /// A newer stream has taken the consumer over.
    pub(crate) fenced: bool,
}

/// The right to have a stream. Ends when dropped.
#[derive(Debug)]
pub(crate) struct Admitted {
    streams: Arc<Streams>,
    application: Uuid,
    /// The consumer and its epoch, once it is taken over.
    consumer: Option<(String, i64)>,
}

// === impl Streams ===

impl Streams {
    pub(crate) fn new(per_application: usize) -> Self {
        Self {
            open: Mutex::default(),
            per_application,
        }
    }

    /// `None`: the application has as many streams as it may.
    pub(crate) fn admit(self: &Arc<Self>, application: ApplicationId) -> Option<Admitted> {
        let mut open = self.lock();
        let streams = &mut open.applications.entry(application.uuid()).or_default().streams;
        if *streams >= self.per_application {
            return None;
        }
        *streams += 1;
        open.count(1);
        Some(Admitted {
            streams: Arc::clone(self),
            application: application.uuid(),
            consumer: None,
        })
    }

    /// Logs have grown.
    pub(crate) fn grown(&self, applications: &[Uuid], heads: &[i64]) {
        let open = self.lock();
        if open.applications.is_empty() {
            return;
        }
        for (application, head) in applications.iter().zip(heads) {
            let consumers = open
                .applications
                .get(application)
                .into_iter()
                .flat_map(|open| open.consumers.values());
            for consumer in consumers {
                consumer.tell(|news| news.head = news.head.max(*head));
            }
        }
    }

    /// A consumer has acknowledged.
    pub(crate) fn acknowledged(&self, application: Uuid, consumer: &str, position: i64) {
        let open = self.lock();
        let consumer = open
            .applications
            .get(&application)
            .and_then(|open| open.consumers.get(consumer));
        if let Some(consumer) = consumer {
            consumer.tell(|news| news.acknowledged = news.acknowledged.max(position));
        }
    }

    /// The consumers that have a stream here.
    pub(super) fn consumers(&self) -> (Vec<Uuid>, Vec<String>) {
        let open = self.lock();
        let names = open
            .applications
            .iter()
            .flat_map(|(id, open)| open.consumers.keys().map(|name| (*id, name.clone())));
        names.unzip()
    }

    /// How consumers stand that were asked about.
    pub(super) fn stand(&self, asked: (&[Uuid], &[String]), standings: Vec<Standing>) {
        let mut standings: HashMap<(Uuid, String), Standing> = standings
            .into_iter()
            .map(|standing| ((standing.application, standing.name.clone()), standing))
            .collect();
        let open = self.lock();
        for (application, name) in asked.0.iter().zip(asked.1) {
            let Some(consumer) = open
                .applications
                .get(application)
                .and_then(|open| open.consumers.get(name))
            else {
                continue;
            };
            match standings.remove(&(*application, name.clone())) {
                // What was asked may be older than the stream: only a later epoch fences.
                Some(standing) => consumer.tell(|news| {
                    news.head = news.head.max(standing.head);
                    news.acknowledged = news.acknowledged.max(standing.position);
                    news.fenced |= standing.epoch > consumer.epoch;
                }),
                None => consumer.tell(|news| news.fenced = true),
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Open ===

impl Open {
    fn count(&mut self, by: isize) {
        self.streams = self.streams.saturating_add_signed(by);
        gauge!("tracking_streams").set(self.streams as f64);
    }
}

// === impl Consumer ===

impl Consumer {
    /// Changes the news and wakes the stream if that made a difference.
    fn tell(&self, change: impl FnOnce(&mut News)) {
        self.news.send_if_modified(|news| {
            let before = *news;
            change(news);
            *news != before
        });
    }
}

// === impl Admitted ===

impl Admitted {
    /// Takes the consumer's place from an older stream, which is told. What comes back tells this one.
    pub(super) fn take(&mut self, consumer: &str, epoch: i64, acknowledged: i64) -> watch::Receiver<News> {
        let mut open = self.streams.lock();
        let consumers = &mut open.applications.entry(self.application).or_default().consumers;
        let newer = consumers.get(consumer).is_some_and(|present| present.epoch > epoch);
        let (news, told) = watch::channel(News {
            head: 0,
            acknowledged,
            fenced: newer,
        });
        if !newer {
            if let Some(older) = consumers.insert(consumer.to_owned(), Consumer { epoch, news }) {
                older.tell(|news| news.fenced = true);
            }
            self.consumer = Some((consumer.to_owned(), epoch));
        }
        told
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let mut open = self.streams.lock();
        open.count(-1);
        let Some(application) = open.applications.get_mut(&self.application) else {
            return;
        };
        if let Some((name, epoch)) = &self.consumer
            && application
                .consumers
                .get(name)
                .is_some_and(|present| present.epoch == *epoch)
        {
            application.consumers.remove(name);
        }
        application.streams -= 1;
        if application.streams == 0 {
            open.applications.remove(&self.application);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standing(epoch: i64, position: i64, head: i64) -> Standing {
        Standing {
            application: Uuid::from_u128(1),
            name: "c".to_owned(),
            epoch,
            position,
            head,
        }
    }

    #[test]
    fn streams_of_an_application_are_bounded_and_leave_nothing_behind() {
        let streams = Arc::new(Streams::new(2));
        let (one, other) = (
            ApplicationId::from_uuid(Uuid::from_u128(1)),
            ApplicationId::from_uuid(Uuid::from_u128(2)),
        );
        let mut first = streams.admit(one).unwrap();
        let _told = first.take("c", 1, 0);
        let second = streams.admit(one).unwrap();
        assert!(streams.admit(one).is_none());
        assert!(streams.admit(other).is_some());
        drop((first, second));
        assert!(streams.lock().applications.is_empty());
        assert_eq!(streams.lock().streams, 0);
    }

    #[test]
    fn a_newer_stream_takes_the_place_whatever_comes_in_which_order() {
        let streams = Arc::new(Streams::new(8));
        let application = ApplicationId::from_uuid(Uuid::from_u128(1));
        let mut older = streams.admit(application).unwrap();
        let told = older.take("c", 1, 0);
        let mut newer = streams.admit(application).unwrap();
        let newer_told = newer.take("c", 3, 0);
        assert!(told.borrow().fenced);
        let mut late = streams.admit(application).unwrap();
        assert!(late.take("c", 2, 0).borrow().fenced);
        // The older one leaves; the newer one keeps its place.
        drop((older, late));
        streams.grown(&[application.uuid()], &[7]);
        streams.acknowledged(application.uuid(), "c", 5);
        let news = News {
            head: 7,
            acknowledged: 5,
            fenced: false,
        };
        assert_eq!(*newer_told.borrow(), news);
    }

    #[test]
    fn what_other_processes_did_is_heard_from_the_standing() {
        let streams = Arc::new(Streams::new(8));
        let application = ApplicationId::from_uuid(Uuid::from_u128(1));
        let mut admitted = streams.admit(application).unwrap();
        let told = admitted.take("c", 2, 4);
        let asked = streams.consumers();
        let stand = |standings| streams.stand((&asked.0, &asked.1), standings);
        stand(vec![standing(1, 3, 9)]);
        assert_eq!(
            *told.borrow(),
            News {
                head: 9,
                acknowledged: 4,
                fenced: false
            }
        );
        stand(vec![standing(3, 3, 9)]);
        assert!(told.borrow().fenced);
        let mut again = streams.admit(application).unwrap();
        let told = again.take("c", 4, 0);
        stand(vec![]);
        assert!(told.borrow().fenced);
    }
}
