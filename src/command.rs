//! The appliance's public interface, as values.
