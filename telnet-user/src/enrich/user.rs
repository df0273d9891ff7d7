//! Names of users and groups.

use std::time::{Duration, Instant};

use super::{cache::Cache, facts::Named};

/// Entries of each cache.
const CAPACITY: usize = 4096;

/// How long a name, or its absence, is believed.
const LIFETIME: Duration = Duration::from_mins(1);

/// Names by number, looked up in the system's databases (`getpwuid_r(3)`, `getgrgid_r(3)`).
#[derive(Debug)]
pub struct Names {
    users: Cache<u32, (Instant, Option<String>)>,
    groups: Cache<u32, (Instant, Option<String>)>,
}

impl Default for Names {
    fn default() -> Self {
        Self {
            users: Cache::new(CAPACITY),
            groups: Cache::new(CAPACITY),
        }
    }
}

impl Names {
    /// The user with this id.
    pub fn user(&mut self, id: u32) -> Named {
        let name = cached(&mut self.users, id, || {
            let user = uzers::get_user_by_uid(id)?;
            Some(user.name().to_string_lossy().into_owned())
        });
        Named { id, name }
    }

    /// The group with this id.
    pub fn group(&mut self, id: u32) -> Named {
        let name = cached(&mut self.groups, id, || {
            let group = uzers::get_group_by_gid(id)?;
            Some(group.name().to_string_lossy().into_owned())
        });
        Named { id, name }
    }
}

fn cached(
    cache: &mut Cache<u32, (Instant, Option<String>)>,
    id: u32,
    look_up: impl FnOnce() -> Option<String>,
) -> Option<String> {
    let now = Instant::now();
    if let Some((learnt, name)) = cache.get(&id)
        && now.duration_since(*learnt) < LIFETIME
    {
        return name.clone();
    }
    let name = look_up();
    cache.insert(id, (now, name.clone()));
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_has_a_name_and_a_stranger_has_none() {
        let mut names = Names::default();
        assert_eq!(names.user(0).name.as_deref(), Some("root"));
        assert_eq!(names.group(0).name.as_deref(), Some("root"));
        assert_eq!(names.user(3_999_999_999).name, None);
    }

    #[test]
    fn a_name_is_asked_for_once_a_lifetime() {
        let mut cache = Cache::new(4);
        assert_eq!(
            cached(&mut cache, 7, || Some("a".into())).as_deref(),
            Some("a")
        );
        assert_eq!(cached(&mut cache, 7, || None).as_deref(), Some("a"));
        let Some(then) = Instant::now().checked_sub(LIFETIME) else {
            return;
        };
        cache.insert(7, (then, Some("a".into())));
        assert_eq!(cached(&mut cache, 7, || None), None);
    }
}
