ENV BUSINESS_METRICS=[[ dockerfile(business_metrics.items() | sort | map('join', '=') | join(',')) ]] \
    OTEL_SERVICE_NAME=[[ service_name ]] \
    PORT=[[ port ]] \
    SHUTDOWN_DRAIN_SECONDS=[[ shutdown.drain ]]
