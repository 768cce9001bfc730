//! Makes of each case two tests: over the model and over the engine.

/// Functions of a [`World`](crate::world::World), each a case.
macro_rules! cases {
    ($($name:ident($world:ident) $body:block)*) => {
        $(fn $name($world: &$crate::world::World) $body)*

        mod model {
            $(#[test] fn $name() { $crate::world::run($crate::world::World::model(), super::$name); })*
        }

        mod engine {
            $(#[test] fn $name() { $crate::world::run($crate::world::World::engine(), super::$name); })*
        }
    };
}

pub(crate) use cases;
