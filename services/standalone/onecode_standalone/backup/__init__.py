"""Carry a whole platform in one sealed file: records, objects, keys; and bring it back on an empty place.

Why a copy taken while everything runs is whole, although it is not taken in one instant:

1. Records come first, each database as one snapshot of its own (SQLite's online backup, a read-only repeatable
   read of PostgreSQL). Who names comes before who is named: rollout before registry, training before ingestion.
   What a service names exists before it names it, so a later copy of the named one has it.
2. Objects come next. They never change and are only added; what a record of step 1 names lies in the store.
   A sweep may delete what no record names any more; should it take one that a copied record names (somebody
   deleted the version meanwhile), the backup fails and says so instead of lacking it.
3. Other files come last: the counters of senders among them (``sequence`` of each gateway and of the cloud).
   A counter copied after the records is never behind what the records have counted, so no report is taken for
   a repetition after the restore.

What can be fetched again is left out: the bus (transport), caches and trusted metadata of gateways and of the
inference server. The metadata could be newer than the registry's copy, and a gateway refuses to go back.
"""
