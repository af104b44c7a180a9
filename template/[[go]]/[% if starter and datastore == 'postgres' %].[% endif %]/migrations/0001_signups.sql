CREATE TABLE signups (
    id uuid PRIMARY KEY,
    email text NOT NULL,
    plan text NOT NULL CHECK (plan IN ('free', 'paid')),
    converted boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT now()
);
