//! Virtual clock and lossy links for Tureen's simulations.
