//! What may be done to which kind of thing.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// How far a right goes; each includes those before it.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Look.
    Read,
    /// Run, load, back up, restore, make and change what is used day by day.
    Operate,
    /// Everything.
    Administer,
}

impl Level {
    /// `read`, `operate`, `administer`.
    pub fn as_str(self) -> &'static str {
        match self {
            Level::Read => "read",
            Level::Operate => "operate",
            Level::Administer => "administer",
        }
    }
}

macro_rules! resources {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// A kind of thing that rights are given for.
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema,
        )]
        #[serde(rename_all = "snake_case")]
        pub enum Resource {
            $($(#[$doc])* $name,)*
        }

        impl Resource {
            /// All of them.
            pub const ALL: &'static [Resource] = &[$(Resource::$name,)*];

            /// As it stands in permission maps.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Resource::$name => $text,)*
                }
            }
        }
    };
}

resources! {
    /// Volumes and pools' content.
    Tapes = "tapes",
    /// Pools of volumes.
    Pools = "pools",
    /// What can be backed up.
    Sources = "sources",
    /// What is backed up when.
    Jobs = "jobs",
    /// Backup sets.
    Sets = "sets",
    /// Names of what is stored.
    Catalog = "catalog",
    /// Putting back.
    Restore = "restore",
    /// Tape drives.
    Drives = "drives",
    /// Medium changers.
    Libraries = "libraries",
    /// Users and roles.
    Users = "users",
    /// Configuration.
    Settings = "settings",
    /// Encryption keys.
    Keys = "keys",
    /// API keys.
    ApiKeys = "api_keys",
    /// The audit log.
    Logs = "logs",
    /// Events and notifications.
    Events = "events",
    /// Tasks.
    Tasks = "tasks",
    /// The appliance itself: health, restart, update.
    System = "system",
    /// Virtual machines and containers.
    Proxmox = "proxmox",
    /// Database servers.
    Servers = "servers",
    /// Media libraries.
    Media = "media",
    /// Apps.
    Apps = "apps",
}

const RESOURCES: usize = Resource::ALL.len();

/// How far somebody's rights go, for each kind of thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(from = "BTreeMap<Resource, Level>", into = "BTreeMap<Resource, Level>")]
pub struct Permissions([Option<Level>; RESOURCES]);

impl Permissions {
    /// No rights.
    pub fn none() -> Permissions {
        Permissions::default()
    }

    /// Of the built-in role `admin`: everything.
    pub fn admin() -> Permissions {
        Permissions([Some(Level::Administer); RESOURCES])
    }

    /// Of the built-in role `operator`.
    pub fn operator() -> Permissions {
        Permissions::each(|resource| match resource {
            Resource::Users | Resource::ApiKeys => None,
            Resource::Settings | Resource::Keys | Resource::System | Resource::Logs => Some(Level::Read),
            _ => Some(Level::Operate),
        })
    }

    /// Of the built-in role `readonly`.
    pub fn readonly() -> Permissions {
        Permissions::each(|resource| match resource {
            Resource::Users | Resource::ApiKeys | Resource::Keys | Resource::Logs => None,
            _ => Some(Level::Read),
        })
    }

    fn each(level: impl Fn(Resource) -> Option<Level>) -> Permissions {
        let mut permissions = Permissions::none();
        for (slot, resource) in permissions.0.iter_mut().zip(Resource::ALL) {
            *slot = level(*resource);
        }
        permissions
    }

    /// How far they go for one kind of thing.
    pub fn level(&self, resource: Resource) -> Option<Level> {
        self.0.get(resource as usize).copied().flatten()
    }

    /// Whether this may be done.
    pub fn may(&self, resource: Resource, level: Level) -> bool {
        self.level(resource).is_some_and(|has| has >= level)
    }

    /// The same with another level for one kind of thing.
    #[must_use]
    pub fn with(mut self, resource: Resource, level: Option<Level>) -> Permissions {
        if let Some(slot) = self.0.get_mut(resource as usize) {
            *slot = level;
        }
        self
    }

    /// Whether whoever has these may do all that `others` allow.
    pub fn covers(&self, others: &Permissions) -> bool {
        self.0.iter().zip(&others.0).all(|(own, other)| own >= other)
    }

    /// What both allow.
    #[must_use]
    pub fn intersect(&self, others: &Permissions) -> Permissions {
        Permissions::each(|resource| self.level(resource).min(others.level(resource)))
    }
}

impl From<BTreeMap<Resource, Level>> for Permissions {
    fn from(map: BTreeMap<Resource, Level>) -> Self {
        Permissions::each(|resource| map.get(&resource).copied())
    }
}

impl From<Permissions> for BTreeMap<Resource, Level> {
    fn from(permissions: Permissions) -> Self {
        let levels = Resource::ALL.iter().map(|resource| (*resource, permissions.level(*resource)));
        levels.filter_map(|(resource, level)| Some((resource, level?))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn built_in_roles_are_ordered() {
        let (admin, operator, readonly) =
            (Permissions::admin(), Permissions::operator(), Permissions::readonly());
        assert!(
            admin.covers(&operator) && operator.covers(&readonly) && readonly.covers(&Permissions::none())
        );
        assert!(!operator.covers(&admin) && !readonly.covers(&operator));
        assert_eq!(operator.intersect(&admin), operator);
        assert!(admin.may(Resource::Users, Level::Administer));
        assert!(operator.may(Resource::Tapes, Level::Operate));
        assert!(!operator.may(Resource::Tapes, Level::Administer));
        assert!(
            !operator.may(Resource::Settings, Level::Operate) && operator.may(Resource::Logs, Level::Read)
        );
        assert!(!operator.may(Resource::Users, Level::Read) && !readonly.may(Resource::Logs, Level::Read));
        assert!(readonly.may(Resource::System, Level::Read) && !readonly.may(Resource::Jobs, Level::Operate));
    }

    #[test]
    fn a_permission_map_is_what_it_says() {
        let text = r#"{"tapes":"operate","api_keys":"read"}"#;
        let permissions: Permissions = serde_json::from_str(text).unwrap();
        assert_eq!(permissions.level(Resource::Tapes), Some(Level::Operate));
        assert_eq!(permissions.level(Resource::Jobs), None);
        assert_eq!(serde_json::to_string(&permissions).unwrap(), text);
        assert!(serde_json::from_str::<Permissions>(r#"{"tape":"read"}"#).is_err());
        assert!(serde_json::from_str::<Permissions>(r#"{"tapes":"root"}"#).is_err());
        for resource in Resource::ALL {
            assert_eq!(serde_json::to_value(resource).unwrap(), resource.as_str());
        }
    }
}
