# Stands in for SeaweedFS where its image cannot be pulled: moto, which takes no request that is not
# signed with our key, under the name and options that docker-compose.s3.yml gives.
ARG BASE_IMAGE
FROM ${BASE_IMAGE}
RUN apt-get update && apt-get install --yes --no-install-recommends wget
COPY wheels /wheels
RUN python3 -m venv /opt/s3 \
 && /opt/s3/bin/pip install --quiet --no-index --find-links /wheels 'moto[s3,server]'
COPY s3_server.py /opt/s3/
RUN printf '#!/bin/sh\nexec /opt/s3/bin/python /opt/s3/s3_server.py "$@"\n' > /usr/local/bin/weed \
 && chmod 755 /usr/local/bin/weed
