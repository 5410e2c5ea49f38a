# Stands in for the official image of PostgreSQL where no registry can be reached: Debian's package,
# set up from the same environment variables.
ARG BASE_IMAGE
FROM ${BASE_IMAGE}
RUN apt-get update && apt-get install --yes --no-install-recommends postgresql \
 && ln -s /usr/lib/postgresql/*/bin/* /usr/local/bin/ \
 && install --directory --owner postgres --group postgres /var/lib/postgresql/data \
 && install --directory --owner postgres --group postgres --mode 3777 /var/run/postgresql
COPY postgres_entrypoint.sh /usr/local/bin/
ENV PGDATA=/var/lib/postgresql/data
USER postgres
STOPSIGNAL SIGINT
ENTRYPOINT ["sh", "/usr/local/bin/postgres_entrypoint.sh"]
