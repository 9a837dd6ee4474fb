//! Cloudflare's ray ids of the calls that are made for one thing, for the audit.

use std::cell::RefCell;
use std::future::Future;

/// Ray ids that are kept of one thing: the last ones.
const KEPT: usize = 8;

tokio::task_local! {
    static RAYS: RefCell<Vec<String>>;
}

/// Notes a ray id, if something is done here of which they are noted.
pub fn note(ray: &str) {
    // Elsewhere nobody asks for them.
    let _ = RAYS.try_with(|rays| {
        let mut rays = rays.borrow_mut();
        if rays.len() == KEPT {
            rays.remove(0);
        }
        rays.push(ray.to_owned());
    });
}

/// Those that were noted so far.
pub(crate) fn noted() -> String {
    let noted = RAYS.try_with(|rays| rays.borrow().join(" "));
    noted.unwrap_or_default()
}

/// Does something of which ray ids are noted.
pub(crate) async fn noting<F: Future>(done: F) -> F::Output {
    RAYS.scope(RefCell::default(), done).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn ray_ids_are_noted_for_one_thing_and_the_last_ones_kept() {
        note("nobody's");
        let one = noting(async {
            for number in 0..10 {
                note(&number.to_string());
                tokio::task::yield_now().await;
            }
            noted()
        });
        let other = noting(async {
            tokio::task::yield_now().await;
            note("other");
            noted()
        });
        let found = tokio::join!(one, other);
        assert_eq!(found, ("2 3 4 5 6 7 8 9".to_owned(), "other".to_owned()));
        assert_eq!(noted(), "");
    }
}
