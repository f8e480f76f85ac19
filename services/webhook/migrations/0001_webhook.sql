-- Everything the webhook service owns. The schema itself and its role are made by the bootstrap.

-- The service's time. Test databases replace it.
create function webhook.now_() returns timestamptz language sql volatile as $$ select clock_timestamp() $$;

-- The lowest version-7 UUID of a moment: bounds of partitions.
create function webhook.first_id(at timestamptz) returns uuid language sql immutable strict as $$
  select (lpad(to_hex(floor(extract(epoch from at) * 1000)::bigint), 12, '0') || repeat('0', 20))::uuid
$$;

-- Where posts are appended. `head` is the last position given. A flush takes its positions under the row's lock, in the statement that inserts the posts,
-- so that within a lane the order of commits is the order of positions and a reader that goes by position skips nothing.
create table webhook.lane (
  lane smallint primary key,
  head bigint not null default 0
) with (fillfactor = 10, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

-- How far each lane is decoded, and by which process. Apart from `lane`: decoding never waits for ingest, nor ingest for decoding.
-- The lease spares work; what keeps two decoders apart is the comparison of `decoded` when it advances.
create table webhook.cursor (
  lane smallint primary key references webhook.lane,
  decoded bigint not null default 0,
  holder uuid,
  held_until timestamptz
) with (fillfactor = 10, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

insert into webhook.lane (lane) select generate_series(0, 3);
insert into webhook.cursor (lane) select lane from webhook.lane;

-- Webhooks as Meta sent them.
create table webhook.post (
  id uuid not null,
  lane smallint not null,
  position bigint not null,
  received_at timestamptz not null,
  size integer not null,
  body bytea not null,
  primary key (id)
) partition by range (id);
-- Sealed bytes do not compress.
alter table webhook.post alter column body set storage external;
create index post_position on webhook.post (lane, position);

-- What became of the items of a post: one row once it is decoded.
create table webhook.post_account (
  post_id uuid not null,
  items integer not null,
  applied integer not null,
  duplicate integer not null,
  parked integer not null,
  unsupported integer not null,
  quarantined integer not null,
  decoded_at timestamptz not null,
  discarded integer not null default 0,
  primary key (post_id),
  constraint every_item_accounted check (items = applied + duplicate + parked + unsupported + quarantined + discarded),
  constraint no_negative_count check (least(applied, duplicate, parked, unsupported, quarantined, discarded) >= 0)
) partition by range (post_id);

-- Items that were not applied, by place in their post. Their content stays in the post. `position` is the post's: time and position are the order of arrival.
-- `outcome` has the numbers of `outeract.webhook.v1.ItemOutcome`: 3 parked, 4 unsupported, 5 quarantined, 6 discarded.
create table webhook.item (
  post_id uuid not null,
  ordinal integer not null,
  received_at timestamptz not null,
  position bigint not null,
  pointer text not null,
  field text not null,
  outcome smallint not null check (outcome in (3, 4, 5, 6)),
  reason text not null,
  application_id uuid,
  connection_id uuid,
  phone_number_id text not null,
  primary key (post_id, ordinal)
) partition by range (post_id);
create index item_application on webhook.item (application_id, outcome, post_id, ordinal) where application_id is not null;
create index item_outcome on webhook.item (outcome, post_id, ordinal);
create index item_parked on webhook.item (phone_number_id, received_at, position, ordinal) where outcome = 3;

-- Rows whose day has no partition. Always empty; a metric says when it is not.
create table webhook.post_default partition of webhook.post default;
create table webhook.post_account_default partition of webhook.post_account default;
create table webhook.item_default partition of webhook.item default;

-- Which connection a phone number belongs to, as the connection service last said. `state` has the numbers of `outeract.connection.v1.ConnectionState`.
create table webhook.route (
  connection_id uuid primary key,
  application_id uuid not null,
  version bigint not null,
  waba_id text not null,
  phone_number_id text not null,
  state smallint not null,
  display_number bytea not null,
  -- Since when it receives what comes for its number, without a break: what came earlier may have been another's.
  since timestamptz not null default webhook.now_()
);
create index route_phone_number on webhook.route (phone_number_id);
create index route_waba on webhook.route (waba_id);

-- Numbers whose parked items are being applied. While a number stands here, its new items are parked behind the old ones.
create table webhook.unpark (
  phone_number_id text primary key,
  since timestamptz not null,
  holder uuid,
  held_until timestamptz
);

-- What operators switch. One row.
create table webhook.setting (
  one boolean primary key default true check (one),
  decoding_paused boolean not null default false,
  why text not null default '',
  changed_by uuid,
  changed_at timestamptz
);
insert into webhook.setting default values;

-- What operators did.
create table webhook.audit (
  id uuid primary key,
  at timestamptz not null,
  operator_key_id uuid not null,
  action text not null,
  subject text not null,
  detail text not null
);

-- Keeps a number's activation and the parking of its items apart. Held until the transaction ends. Numbers share 256 locks, taken in order: their count is bounded
-- and two callers cannot wait for each other.
create function webhook.lock_numbers(numbers text[]) returns void language plpgsql as $$
declare
  stripe integer;
begin
  for stripe in
    select distinct mod(abs(hashtext(number)::bigint), 256)::integer from unnest(numbers) number order by 1
  loop
    perform pg_advisory_xact_lock(30568, stripe);
  end loop;
end
$$;

-- A number's items can be routed when exactly one connection that receives (active, waiting for a new token, restricted) has it.
create function webhook.is_routable(number text) returns boolean language sql stable as $$
  select count(*) = 1 from webhook.route where phone_number_id = number and state in (1, 2, 3)
$$;

-- Makes the partitions of the days from `first` to `last`, taking over rows of the default partition. Attaching locks nobody out but for the moment it takes.
create function webhook.create_partitions(first date, last date) returns integer language plpgsql as $$
declare
  made integer := 0;
  day date;
  parent text;
  key text;
  leaf text;
  low uuid;
  high uuid;
begin
  perform pg_advisory_xact_lock(30568, -1);
  for day in select generate_series(first, last, interval '1 day')::date loop
    low := webhook.first_id(day::timestamp at time zone 'UTC');
    high := webhook.first_id((day + 1)::timestamp at time zone 'UTC');
    for parent, key in values ('post', 'id'), ('post_account', 'post_id'), ('item', 'post_id') loop
      leaf := parent || '_' || to_char(day, 'YYYYMMDD');
      continue when to_regclass('webhook.' || leaf) is not null;
      execute format('create table webhook.%I (like webhook.%I including all)', leaf, parent);
      execute format(
        'with moved as (delete from webhook.%I where %I >= %L and %I < %L returning *) insert into webhook.%I select * from moved',
        parent || '_default', key, low, key, high, leaf);
      execute format('alter table webhook.%I attach partition webhook.%I for values from (%L) to (%L)', parent, leaf, low, high);
      made := made + 1;
    end loop;
  end loop;
  return made;
end
$$;

-- Drops the days of one table (`post`, `item`, `post_account`) before `keep`. A day with a post that is not decoded stays, however old it is; items and accounts stay
-- as long as the posts of their day.
create function webhook.drop_partitions(parent text, keep date) returns integer language plpgsql as $$
declare
  dropped integer := 0;
  suffix text;
  busy boolean;
begin
  perform pg_advisory_xact_lock(30568, -1);
  for suffix in
    select right(c.relname, 8)
    from pg_inherits i join pg_class c on c.oid = i.inhrelid
    where i.inhparent = ('webhook.' || quote_ident(parent))::regclass and c.relname ~ ('^' || parent || '_[0-9]{8}$')
      and to_date(right(c.relname, 8), 'YYYYMMDD') < keep
    order by 1
  loop
    if parent = 'post' then
      execute format(
        'select exists (select from webhook.%I p join webhook.cursor c on c.lane = p.lane and p.position > c.decoded)', 'post_' || suffix) into busy;
    else
      busy := to_regclass('webhook.post_' || suffix) is not null;
    end if;
    continue when busy;
    execute format('drop table webhook.%I', parent || '_' || suffix);
    dropped := dropped + 1;
  end loop;
  return dropped;
end
$$;

select webhook.create_partitions((now() at time zone 'UTC')::date - 1, (now() at time zone 'UTC')::date + 7);
