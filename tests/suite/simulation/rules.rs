//! The rules of the simulation by name.

/// A rule that a history can break.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rule {
    /// No foreign record or tunnel is changed.
    LeavesForeignAlone,
    /// More than five names of a Gateway and more than 30 % of them go only where somebody confirmed it.
    HoldsBigCutsBack,
    /// Nothing is changed that another installation has and uses.
    LeavesOtherClustersAlone,
    /// Nothing is written for a Gateway that is suspended.
    WritesNothingWhileSuspended,
    /// The finalizer comes before the first write at the edge.
    FinalizerComesFirst,
    /// The finalizer goes after all that is at the edge.
    FinalizerGoesLast,
    /// A process that did not lead when its edge pass began writes nothing in it.
    WritesOnlyAsLeader,
    /// A proxy is stopped only when its Gateway is known not to be wanted.
    StopsNoWantedProxy,
    /// A tunnel or record is removed only when it is known not to be wanted.
    RemovesNothingWanted,
    /// Nothing is changed in a zone whose read failed.
    ChangesNothingUnread,
    /// A tunnel is deleted after its records.
    RecordsGoBeforeTunnel,
    /// A name that changes hands within a cluster does not vanish meanwhile.
    HandsNamesOver,
    /// A name of a Gateway that keeps what it has does not go to one with a younger claim.
    KeepsOlderClaims,
    /// A name resolves only after a proxy has its table.
    ServesBeforeItResolves,
    /// A Gateway has one tunnel.
    OneTunnelEach,
    /// Each record of ours leads to a tunnel that exists.
    RecordsLeadSomewhere,
    /// It is said that a Gateway left what it had only once the next process knows.
    RemembersBeforeItTells,
    /// No token is replaced that was not kept before as the one to be replaced, and each proxy gets the present one.
    KeepsTokens,
    /// A pass ends.
    Ends,
    /// In the end exactly what is wanted is there.
    Converges,
    /// A pass over what is right writes nothing.
    Settles,
}
