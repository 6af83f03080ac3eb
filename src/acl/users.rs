//! All users by name. Readers get a user as it is now and keep it; a change replaces it and counts the generation up,
//! by which sessions learn that they must look again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::RwLock;

use super::user::{DEFAULT_NAME, SharedUser, User};

type ByName = BTreeMap<Box<[u8]>, SharedUser>;

pub struct Users {
    /// The default user is always there.
    by_name: RwLock<ByName>,
    generation: AtomicU64,
    last_id: AtomicU64,
}

impl Users {
    /// The default user alone. `required_password` is its password; empty means none.
    pub fn new(commands: usize, required_password: &[u8]) -> Users {
        let mut user = User::open(0, commands);
        if !required_password.is_empty() {
            user.set_password(Some(required_password));
        }
        let by_name = BTreeMap::from([(user.name.clone(), Arc::new(user))]);
        Users { by_name: RwLock::new(by_name), generation: AtomicU64::new(1), last_id: AtomicU64::new(0) }
    }

    /// Changes with every change of any user; never 0.
    #[inline]
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    pub fn next_id(&self) -> u64 {
        self.last_id.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub fn get(&self, name: &[u8]) -> Option<SharedUser> {
        self.by_name.read().get(name).cloned()
    }

    pub fn default_user(&self) -> SharedUser {
        self.by_name.read()[DEFAULT_NAME].clone()
    }

    /// Every user, in the order of names.
    pub fn all(&self) -> Vec<SharedUser> {
        self.by_name.read().values().cloned().collect()
    }

    /// Replaces a user, or makes one, by what `change` makes of what is there; gives what was there before.
    pub fn change<E>(
        &self,
        name: &[u8],
        change: impl FnOnce(Option<&User>) -> Result<User, E>,
    ) -> Result<Option<SharedUser>, E> {
        let mut by_name = self.by_name.write();
        let changed = change(by_name.get(name).map(|user| &**user))?;
        let before = by_name.insert(name.into(), Arc::new(changed));
        self.generation.fetch_add(1, Ordering::Release);
        Ok(before)
    }

    /// The `requirepass` directive: makes it the default user's only password.
    pub fn set_required_password(&self, password: &[u8]) {
        let change = |user: Option<&User>| -> Result<User, std::convert::Infallible> {
            let mut user = user.cloned().unwrap_or_else(|| unreachable!("the default user is always there"));
            user.set_password(Some(password).filter(|password| !password.is_empty()));
            Ok(user)
        };
        let Ok(_) = self.change(DEFAULT_NAME, change);
    }

    /// Whether there was such a user. The default one stays.
    pub fn remove(&self, name: &[u8]) -> bool {
        let removed = name != DEFAULT_NAME && self.by_name.write().remove(name).is_some();
        if removed {
            self.generation.fetch_add(1, Ordering::Release);
        }
        removed
    }

    /// Puts these in the place of all users. Without a default user among them, `default` becomes it; sessions of the
    /// default user stay, for it keeps its id.
    pub fn replace_all(&self, users: Vec<User>, default: User) {
        let mut by_name = self.by_name.write();
        let default_id = by_name[DEFAULT_NAME].id;
        let mut fresh: ByName = users.into_iter().map(|user| (user.name.clone(), Arc::new(user))).collect();
        let mut default = fresh.remove(DEFAULT_NAME).map_or(default, |user| User::clone(&user));
        default.id = default_id;
        fresh.insert(DEFAULT_NAME.into(), Arc::new(default));
        *by_name = fresh;
        self.generation.fetch_add(1, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::acl::{Rules, catalogue};

    #[test]
    fn users_come_change_and_go() {
        let catalogue = catalogue::sample();
        let rules = Rules { catalogue: &catalogue, all_channels: false };
        let users = Users::new(6, b"");
        let first = users.generation();
        assert!(users.default_user().is_open() && users.default_user().may_do_everything());
        users.set_required_password(b"x");
        assert!(!users.default_user().is_open() && users.default_user().accepts(b"x"));
        let make = |user: Option<&User>| -> Result<User, ()> {
            assert!(user.is_none());
            Ok(User::new(b"bob", users.next_id(), rules))
        };
        assert_eq!(users.change(b"bob", make), Ok(None));
        assert_eq!(users.all().len(), 2);
        assert!(!users.remove(b"default") && !users.remove(b"eve") && users.remove(b"bob") && !users.remove(b"bob"));
        let default_id = users.default_user().id;
        users.replace_all(vec![User::new(b"eve", users.next_id(), rules)], User::open(users.next_id(), 6));
        assert_eq!(users.default_user().id, default_id);
        assert!(users.default_user().is_open() && users.get(b"eve").is_some());
        assert_eq!(users.generation(), first + 4);
    }
}
