//! [`Hold`]: keeps a Gateway from vanishing before it is gone at the edge.

use domain::ports::Hold;
use domain::testing::FakeHold;

use super::folder::Folder;
use super::gateway;

contract! {
    rules [
        holding_again_changes_nothing,
        a_gateway_that_was_let_go_can_be_held_again,
        letting_go_of_what_is_not_held_is_fine,
    ]
    manifest_folder => Folder::with(&[]),
    in_memory => FakeHold::default(),
}

trait Rig {
    fn hold(&self) -> &dyn Hold;
}

impl Rig for Folder {
    fn hold(&self) -> &dyn Hold {
        &*self.adapter
    }
}

impl Rig for FakeHold {
    fn hold(&self) -> &dyn Hold {
        self
    }
}

async fn holding_again_changes_nothing(rig: impl Rig) {
    let web = gateway("web");
    assert_eq!(rig.hold().hold(&web).await, Ok(()));
    assert_eq!(rig.hold().hold(&web).await, Ok(()));
    assert_eq!(rig.hold().release(&web).await, Ok(()));
}

async fn a_gateway_that_was_let_go_can_be_held_again(rig: impl Rig) {
    let web = gateway("web");
    assert_eq!(rig.hold().hold(&web).await, Ok(()));
    assert_eq!(rig.hold().release(&web).await, Ok(()));
    assert_eq!(rig.hold().hold(&web).await, Ok(()));
}

async fn letting_go_of_what_is_not_held_is_fine(rig: impl Rig) {
    let web = gateway("web");
    assert_eq!(rig.hold().release(&web).await, Ok(()));
    assert_eq!(rig.hold().hold(&web).await, Ok(()));
    assert_eq!(rig.hold().release(&web).await, Ok(()));
    assert_eq!(rig.hold().release(&web).await, Ok(()));
}
