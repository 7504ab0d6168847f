//! Simulations of whole calls: the engine and its clients over bad networks.

mod calls;
