-- What operators do with stored webhooks, erasure, and the ledger that proves the accounts.

-- Which process does a task that one process does at a time. It spares work; what is right rests on the task's own cursor.
create table webhook.task (
  name text primary key,
  holder uuid,
  held_until timestamptz
) with (fillfactor = 50);

insert into webhook.task (name) values ('replay'), ('erase'), ('ledger');

-- Stored webhooks on their way through the decoder again. `state` has the numbers of `outeract.webhook.admin.v1.ReplayState`: 1 running, 2 done, 3 canceled.
-- Posts are taken in the order of their ids, from `reached` (taken already, or nil) up to `before`.
create table webhook.replay (
  id uuid primary key,
  created_at timestamptz not null,
  created_by uuid not null,
  why text not null,
  state smallint not null check (state in (1, 2, 3)),
  ended_at timestamptz,
  -- As it was asked for.
  received_from timestamptz,
  received_to timestamptz,
  post_ids uuid[] not null,
  outcomes smallint[] not null,
  fields text[] not null,
  phone_number_ids text[] not null,
  -- Where it stands.
  reached uuid not null,
  before uuid not null,
  posts bigint not null default 0,
  applied bigint not null default 0,
  duplicate bigint not null default 0,
  unsupported bigint not null default 0,
  quarantined bigint not null default 0,
  kept bigint not null default 0
);
create index replay_running on webhook.replay (id) where state = 1;

-- Users to be erased from stored webhooks. `heads` are the lanes' heads when it was asked for: posts up to there are looked through once they are decoded.
create table webhook.erasure (
  id uuid primary key,
  application_id uuid not null,
  created_at timestamptz not null,
  ended_at timestamptz,
  -- Whom, sealed; null once it is done.
  identities bytea,
  heads bigint[] not null,
  -- Posts are looked through in the order of their ids, from `reached` up to `before`.
  reached uuid not null,
  before uuid not null,
  scanned bigint not null default 0,
  erased bigint not null default 0,
  constraint forgotten_when_done check ((ended_at is null) = (identities is not null))
);
create index erasure_open on webhook.erasure (reached, id) where ended_at is null;

-- The sum of the accounts of every post up to `reached`, each looked at once, a few minutes after it came. Posts without an account though their lane is decoded
-- (`lost`), and accounts that disagree with the items listed (`wrong`), are faults: both stay 0.
create table webhook.ledger (
  one boolean primary key default true check (one),
  reached uuid not null,
  posts bigint not null default 0,
  items bigint not null default 0,
  accounted bigint not null default 0,
  lost bigint not null default 0,
  wrong bigint not null default 0
) with (fillfactor = 10);

insert into webhook.ledger (reached) values ('00000000-0000-0000-0000-000000000000');
